"""Videos with masks of their frames, in the layout of DAVIS 2017."""

import hashlib
import json
import os
from pathlib import Path
from typing import List, NamedTuple

import numpy as np

from mssl_plugins.datasets.image_io import EXTENSIONS
from mssl_plugins.evaluation.dense_data import read_mask
from mssl_plugins.evaluation.video_scores import VOID


class Sequence(NamedTuple):
    """A video.

    Attributes:
        name (str): Name of its folder.
        frames (list[Path]): Its frames in order.
        masks (list[Path]): The masks of these frames.
    """

    name: str
    frames: List[Path]
    masks: List[Path]

    def first_mask(self) -> np.ndarray:
        """(H, W) numbers of the objects in the first frame, 0 for the background."""
        mask = read_mask(self.masks[0])
        return np.where(mask == VOID, 0, mask)


class VideoData:
    """The validation videos of DAVIS 2017, or of data in its layout.

    Args:
        folder (str): Folder with ``ImageSets/2017/val.txt``, a name a line,
            ``JPEGImages/480p/NAME`` and ``Annotations/480p/NAME`` (or without
            the folder ``480p``).

    Attributes:
        sequences (list[Sequence]): In the list's order.

    Raises:
        FileNotFoundError: If a list, a video or a mask is missing.
        ValueError: If a video has fewer than 3 frames, or no object.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        listing = self.folder / 'ImageSets/2017/val.txt'
        if not listing.is_file():
            raise FileNotFoundError(
                f'no {listing}: videos lie as in DAVIS 2017, in JPEGImages/480p/NAME and '
                'Annotations/480p/NAME, their names in ImageSets/2017/val.txt'
            )
        names = listing.read_text().split()
        if not names:
            raise ValueError(f'{listing} names no video')
        self.sequences = [self._sequence(name) for name in names]

    def _sequence(self, name: str) -> Sequence:
        folders = []
        for kind in ('JPEGImages', 'Annotations'):
            found = [self.folder / kind / part / name for part in ('480p', '')]
            folders.append(next((f for f in found if f.is_dir()), found[0]))
            if not folders[-1].is_dir():
                raise FileNotFoundError(f'no {folders[-1]}')
        frames = sorted(f for f in folders[0].iterdir() if f.suffix.lower() in EXTENSIONS)
        masks = [folders[1] / f'{f.stem}.png' for f in frames]
        missing = [mask for mask in masks if not mask.is_file()]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(frames)} frames of {name} have no mask, the first would '
                f'be {missing[0]}'
            )
        if len(frames) < 3:
            raise ValueError(f'{folders[0]}: a video needs 3 or more frames, got {len(frames)}')
        sequence = Sequence(name, frames, masks)
        if not sequence.first_mask().any():
            raise ValueError(f'{masks[0]}: the mask of the first frame holds no object')
        return sequence

    @property
    def key(self) -> str:
        """16 digits that identify frames and masks."""
        files = [
            (os.path.abspath(f), f.stat().st_size, f.stat().st_mtime_ns)
            for sequence in self.sequences
            for f in (*sequence.frames, *sequence.masks)
        ]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        frames = sum(len(s.frames) for s in self.sequences)
        return f'{len(self.sequences)} videos of {frames} frames'
