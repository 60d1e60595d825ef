"""Runs video-segmentation on one backbone and a set of videos."""

import json
import time
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from torch import Tensor

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.distributed import rank_slice
from mssl_plugins.evaluation import label_propagation as propagation
from mssl_plugins.evaluation import video_data
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.dense_data import read_mask
from mssl_plugins.evaluation.dense_features import input_stride
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.patch_maps import patch_maps
from mssl_plugins.evaluation.store import Results, result_row
from mssl_plugins.evaluation.video_scores import score_video
from mssl_plugins.files import ProgressBar, write_atomically
from mssl_plugins.models.readout import dense_kinds

NAME = 'video-segmentation'


class Segmenter:
    """Carries masks through videos by a frozen backbone's patches.

    Args:
        model (nn.Module): With ``backbone`` and ``data_preprocessor``.
        short (int, optional): Short side of its input in px. Defaults to None:
            480.
        dtype (torch.dtype): What the network computes in. Defaults to float32.

    Raises:
        ValueError: For a backbone without a map.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        short: Optional[int] = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.dtype = model, dtype
        self.kind = dense_kinds(model.backbone)[0]  # a ResNet's finer map
        self.patch = input_stride(model.backbone)
        self.short = short or propagation.SHORT

    def map_of(self, frame: np.ndarray, seen: Tuple[int, int]) -> Tensor:
        """(h, w, D) features of one (H, W, 3) frame, on the backbone's device."""
        image = torch.from_numpy(cv2.resize(frame, seen[::-1])).permute(2, 0, 1)
        device = next(self.model.backbone.parameters()).device
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            return patch_maps(self.model, [image], kind=self.kind)[0].to(device)

    def masks(self, frames: Iterator[np.ndarray], first: np.ndarray) -> Iterator[np.ndarray]:
        """Yields (H, W) uint8 numbers of the objects for every frame; for the first, ``first``.

        Args:
            frames (Iterator[np.ndarray]): (H, W, 3) uint8 RGB, of one size.
            first (np.ndarray): (H, W) numbers of the objects in the first.

        Raises:
            ValueError: If the mask has another size than the frames.
        """
        frames = iter(frames)
        frame = next(frames)
        size = frame.shape[:2]
        if first.shape != size:
            raise ValueError(
                f'the mask is {first.shape[1]} x {first.shape[0]} px, the first frame '
                f'{size[1]} x {size[0]} px: a mask needs the size of its frame'
            )
        seen = propagation.input_sides(*size, self.patch, self.short)
        start = self.map_of(frame, seen)
        labels = propagation.first_labels(first, tuple(start.shape[:2]), int(first.max()))

        def maps() -> Iterator[Tensor]:
            yield start
            for other in frames:
                yield self.map_of(other, seen)

        carried = propagation.carry(maps(), labels.to(start.device))
        next(carried)
        yield first.astype(np.uint8)
        for labels in carried:
            yield propagation.to_mask(labels, seen, size)


class VideoEvaluation:
    """Label propagation of one backbone on one set of videos.

    Args:
        backbone (FrozenBackbone): What is measured.
        data (VideoData): The videos that it is measured on.
        work_dir (Path): Where a video's scores and the results are kept.
        options (EvaluationOptions, optional): Defaults to None: the protocol's
            own settings.
        short (int, optional): See :class:`Segmenter`. Defaults to None.

    Raises:
        ValueError: For a backbone without a map.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        data: video_data.VideoData,
        work_dir: Path,
        options: Optional[EvaluationOptions] = None,
        short: Optional[int] = None,
    ) -> None:
        options = options or EvaluationOptions()
        self.data, self.work_dir = data, Path(work_dir)
        self.segmenter = Segmenter(backbone.model, short, options.dtype)
        self.results = Results(self.work_dir / 'results.json')

    @property
    def setting(self) -> str:
        """The setting in the rows of results."""
        return (
            f'{self.segmenter.kind}, {propagation.FRAMES} frames, radius {propagation.RADIUS}, '
            f'top {propagation.TOP}, T={propagation.TEMPERATURE}, '
            f'short side {self.segmenter.short}, {self.data}'
        )

    def _file(self, name: str) -> Path:
        return self.work_dir / f'videos-{self.segmenter.short}' / f'{name}.json'

    def _measure(self, sequence: video_data.Sequence) -> None:
        began = time.time()
        first = sequence.first_mask()
        frames = (read_rgb(str(file)) for file in sequence.frames)
        predicted = list(self.segmenter.masks(frames, first))
        truth = [read_mask(file) for file in sequence.masks]
        scores = score_video(predicted, truth, int(first.max()))
        scores['seconds'] = time.time() - began
        write_atomically(json.dumps(scores).encode(), self._file(sequence.name))

    def run(self, names: Sequence[str] = (NAME,)) -> List[dict]:
        """Measures the videos that have no scores yet.

        Args:
            names (Sequence[str]): Protocols. Defaults to the one of this class.

        Returns:
            list[dict]: ``protocol, setting, metric, value`` (J&F, J and F in %, means
            over all objects), ``seconds``.
        """
        if not self.results.has(NAME, [self.setting]):
            todo = [s for s in self.data.sequences if not self._file(s.name).is_file()]
            barrier()  # every process must list the missing files before one is written
            bar = ProgressBar('videos', len(todo), is_main_process())
            for number in rank_slice(len(todo)):
                self._measure(todo[number])
                bar.to(number + 1)
            bar.close()
            barrier()
            found = [json.loads(self._file(s.name).read_text()) for s in self.data.sequences]
            region, contour = (
                float(np.mean([value for scores in found for value in scores[key]])) for key in 'JF'
            )
            seconds = sum(scores['seconds'] for scores in found)
            self.results.add(
                [
                    result_row(NAME, self.setting, value, seconds, metric)
                    for metric, value in (
                        ('J&F', (region + contour) / 2),
                        ('J', region),
                        ('F', contour),
                    )
                ]
            )
        return self.results.of({NAME: [self.setting]})
