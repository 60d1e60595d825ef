"""Images with label maps for an evaluation, see :mod:`mssl_plugins.evaluation.mask_layouts`."""

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from mssl_plugins.checkpoints.images import INTERPOLATION
from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.evaluation.mask_layouts import find_layout

IGNORED = 255  # mmseg's
SQUARE = 512  # px a side where images differ: open-hummingbird-eval's


def read_mask(path: Path) -> np.ndarray:
    """Reads a mask as (H, W) int64 labels; of a palette image the indices, not the colors.

    Raises:
        ValueError: If the file is no map of numbers.
    """
    try:
        with Image.open(path) as file:
            mask = np.asarray(file)
    except Exception as error:  # Pillow's decoders raise many kinds
        raise ValueError(f'the label map {path} is damaged ({error})') from None
    if mask.ndim != 2 or mask.dtype.kind not in 'uib':
        raise ValueError(
            f'{path} is no label map: one whole number a pixel is needed, got '
            f'{mask.dtype} of shape {mask.shape}'
        )
    return mask.astype(np.int64)


def patch_distribution(mask: np.ndarray, grid: Tuple[int, int], num_classes: int) -> Tensor:
    """Fraction of each class among a patch's labeled pixels.

    Args:
        mask (np.ndarray): (H, W) labels; those outside of 0 to C - 1 are
            ignored.
        grid (tuple[int, int]): (h, w) patches, which divide the mask evenly:
            a pixel belongs to the patch that holds its center.
        num_classes (int): C.

    Returns:
        Tensor: (h, w, C) float32; all 0 where no pixel has a label.
    """
    (height, width), (h, w) = mask.shape, grid
    row = ((np.arange(height) + 0.5) * h / height).astype(np.int64)
    column = ((np.arange(width) + 0.5) * w / width).astype(np.int64)
    cell = (row[:, None] * w + column) * num_classes
    known = (mask >= 0) & (mask < num_classes)
    counts = np.bincount((cell + mask)[known], minlength=h * w * num_classes)
    counts = torch.from_numpy(counts).view(h, w, num_classes).double()
    return (counts / counts.sum(2, keepdim=True).clamp_min(1)).float()


class _Resized(Dataset):
    """Images resized to one size, (3, H, W) uint8, each with the label -1."""

    def __init__(self, files: Sequence[Path], shape: Tuple[int, int]) -> None:
        self.files, self.shape = files, shape

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tuple[Tensor, int]:
        image = Image.fromarray(read_rgb(self.files[index]))
        if image.size != self.shape[::-1]:
            how = Image.Resampling[INTERPOLATION.upper()]
            image = image.resize(self.shape[::-1], how)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), -1


class DenseData:
    """Training and test images with a label for every pixel.

    Args:
        folder (str): In a layout of
            :func:`mssl_plugins.evaluation.mask_layouts.find_layout`.
        stride (int): Sides of the network's input are multiples of it.
        size (int, optional): Short side of the input in px. Defaults to None:
            the images' own, or 512 x 512 where their sizes differ.
        ignore (Sequence[int]): Labels to ignore besides 255 and those that the
            layout ignores. Defaults to ().
        classes (str, optional): File with the names of the classes, one a
            line, in the order of their numbers; ignored numbers have no line.
            Defaults to None: the layout's, or all numbers up to the largest
            in the training masks.

    Attributes:
        shape (tuple[int, int]): (H, W) of the network's input.
        kept (list[int]): The numbers in the masks that are classes.
        num_classes (int): Number of classes.
        names (list[str] | None): Names of the classes.

    Raises:
        FileNotFoundError: If a folder or a mask is missing.
        ValueError: If a mask has another size than its image or a label that
            is no class.
    """

    def __init__(
        self,
        folder: str,
        stride: int,
        size: Optional[int] = None,
        ignore: Sequence[int] = (),
        classes: Optional[str] = None,
    ) -> None:
        self.folder = Path(folder)
        self.layout = find_layout(self.folder)
        self.ignore = sorted({IGNORED, *self.layout.ignore, *ignore})
        self.files = self.layout.pairs
        names = Path(classes).read_text().split('\n') if classes else []
        self.names = [n.strip() for n in names if n.strip()] or None
        self.sizes: Dict[str, List[Tuple[int, int]]] = {}
        labels = {split: self._survey(split) for split in self.files}
        self.kept = self._classes(max((max(found, default=-1) for found in labels['train'])))
        self.num_classes = len(self.kept)
        for split, found in labels.items():
            self._check(split, found)
        if len(set().union(*labels['train'])) < 2:
            raise ValueError('the training masks hold one class only: nothing to tell apart')
        self.shape = self._input_shape(stride, size)

    def _survey(self, split: str) -> List[Set[int]]:
        """The labels in each mask without the ignored ones; also collects the sizes."""
        found, self.sizes[split] = [], []
        for image, file in self.files[split]:
            mask = read_mask(file)
            with Image.open(image) as opened:
                width, height = opened.size
                if opened.getexif().get(0x0112, 1) > 4:  # lies on its side
                    width, height = height, width
            if mask.shape != (height, width):
                raise ValueError(
                    f'{file} is {mask.shape[1]} x {mask.shape[0]} px, its image '
                    f'{width} x {height} px: a mask needs the size of its image'
                )
            self.sizes[split].append(mask.shape)
            found.append(set(np.unique(mask).tolist()) - set(self.ignore))
        return found

    def _classes(self, largest: int) -> List[int]:
        """The numbers that are classes, in order."""
        count = self.layout.count or largest + 1
        if self.names:
            count = len(self.names) + len(self.ignore)
        kept = [i for i in range(count) if i not in self.ignore]
        return kept[: len(self.names)] if self.names else kept

    def _check(self, split: str, found: List[Set[int]]) -> None:
        for (_, file), labels in zip(self.files[split], found):
            strange = sorted(labels - set(self.kept))
            if strange:
                where = 'named' if self.names else 'in the training masks'
                if self.layout.count and not self.names:
                    where = f'of {self.layout.name}'
                raise ValueError(
                    f'{file} has the label {strange[0]}, beyond the {self.num_classes} classes '
                    f'{where}; --ignore-label leaves a label out, --classes names the classes'
                )

    def _input_shape(self, stride: int, size: Optional[int]) -> Tuple[int, int]:
        every = {s for sizes in self.sizes.values() for s in sizes}
        height, width = every.pop() if len(every) == 1 else (size or SQUARE,) * 2
        scale = size / min(height, width) if size else 1.0
        return tuple(max(1, int(side * scale / stride + 0.5)) * stride for side in (height, width))

    def images(self, split: str) -> Dataset:
        """The images at the input's size."""
        return _Resized([image for image, _ in self.files[split]], self.shape)

    def mask(self, split: str, index: int) -> np.ndarray:
        """(H, W) labels of one image, 0 to C - 1, or -1 where there is none."""
        mask = read_mask(self.files[split][index][1])
        table = np.full(max(int(mask.max()), *self.kept) + 1, -1)
        table[self.kept] = np.arange(self.num_classes)
        table[[i for i in self.ignore if i < len(table)]] = -1
        return table[mask]

    @property
    def resolution(self) -> str:
        """Resolution of input and masks as text, for the setting of a row."""
        sizes = sorted(set(self.sizes['test']))
        masks = f'{sizes[0][1]} x {sizes[0][0]}' if len(sizes) == 1 else 'their own size'
        return f'input {self.shape[1]} x {self.shape[0]}, masks {masks}'

    @property
    def key(self) -> str:
        """16 digits that identify images, masks, classes and input size."""
        files = [
            (os.path.abspath(f), f.stat().st_size, f.stat().st_mtime_ns)
            for pairs in self.files.values()
            for pair in pairs
            for f in pair
        ]
        text = json.dumps([files, self.shape, self.kept])
        return hashlib.sha256(text.encode()).hexdigest()[:16]
