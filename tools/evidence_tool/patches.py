"""Segmentation by the nearest patch tokens: a dense figure that needs no training.

Every token of a training image is labeled with the class of most of its
pixels; a test token takes the vote of its 20 nearest (cosine, T = 0.1), and
all its pixels with it.  mIoU over the test images; unlabeled pixels count
nowhere.  Images are shrunk to twice the network's side and cut into squares of
that side.
"""

import io
from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np
import torch
from torch import Tensor, nn

BANK_TOKENS, NEIGHBORS, TEMPERATURE = 20000, 20, 0.1
IGNORED = 255
CAMVID_CLASSES, CAMVID_UNLABELED = 11, 11
SCENES = dict(train=400, val=100)


def _camvid(data: Path, split: str) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    from PIL import Image

    with np.load(data / f'camvid_{split}.npz') as packed:
        parts = {key: packed[key] for key in ('data', 'off', 'seg', 'seg_off')}
    for i in range(len(parts['off']) - 1):
        image, labels = (
            np.asarray(
                Image.open(io.BytesIO(parts[name][parts[off][i] : parts[off][i + 1]].tobytes()))
            )
            for name, off in (('data', 'off'), ('seg', 'seg_off'))
        )
        yield image, np.where(labels == CAMVID_UNLABELED, IGNORED, labels)


def _scenes(data: Path, split: str) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    from mssl_plugins.datasets.dense_layouts import DIFFICULTY, SPLITS
    from mssl_plugins.datasets.scenes import Scenes

    for scene in Scenes(split=SPLITS[split], length=SCENES[split], **DIFFICULTY):
        classes = (scene['gt_bboxes_labels'] + 1)[:, None, None]
        yield scene['img'], (scene['gt_masks'] * classes).sum(0).astype(np.uint8)


SETS = dict(camvid=(_camvid, CAMVID_CLASSES), scenes=(_scenes, 5))


def tiles(image: np.ndarray, labels: np.ndarray, side: int) -> Tuple[np.ndarray, np.ndarray]:
    """An image and its labels as squares, (T, side, side, 3) and (T, side, side)."""
    import cv2

    height, width = labels.shape
    scale = max(1, min(2, round(min(height, width) / side))) * side / min(height, width)
    size = [max(round(v * scale) // side, 1) * side for v in (height, width)]
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    rows, columns = size[0] // side, size[1] // side

    def cut(x):
        x = x.reshape(rows, side, columns, side, *x.shape[2:]).swapaxes(1, 2)
        return x.reshape(-1, side, side, *x.shape[4:])

    return cut(image), cut(labels)


@torch.no_grad()
def token_grid(backbone: nn.Module, x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, h, w, D): patch tokens after the last norm, or the last map."""
    from mssl_plugins.models.readout import extra_tokens, forward_backbone, is_transformer

    if not is_transformer(backbone):
        return forward_backbone(backbone, x)[-1].permute(0, 2, 3, 1)
    seen: List[Tensor] = []
    handle = backbone.layers[-1].register_forward_hook(
        lambda m, args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    forward_backbone(backbone, x)
    handle.remove()
    tokens = backbone.ln1(seen[0]) if getattr(backbone, 'final_norm', False) else seen[0]
    tokens = tokens[:, extra_tokens(backbone) :]
    side = round(tokens.shape[1] ** 0.5)
    return tokens.reshape(len(x), side, side, -1)


def _pixel_grid(x: Tensor, patch: int) -> Tensor:
    x = nn.functional.pixel_unshuffle(x, patch)  # (B, 3 p^2, h, w)
    return x.permute(0, 2, 3, 1)


def _of_split(grid, normalize, pairs, side: int):
    """Token grids and labels of all tiles of each image."""
    for image, labels in pairs:
        squares, wanted = tiles(image, labels, side)
        yield grid(normalize(torch.from_numpy(squares.copy()))), wanted


def majority(labels: np.ndarray, patch: int, classes: int) -> np.ndarray:
    """(T, S, S) -> (T, h, w): the class of most pixels of each patch, 255 where most have none."""
    t, s, _ = labels.shape
    cells = labels.reshape(t, s // patch, patch, s // patch, patch).transpose(0, 1, 3, 2, 4)
    cells = cells.reshape(t, s // patch, s // patch, -1)
    counts = np.stack([(cells == c).sum(-1) for c in (*range(classes), IGNORED)], -1)
    best = counts.argmax(-1)
    return np.where(best == classes, IGNORED, best)


def patch_counts(model, name: str, data: Path, cfg, branch: str = 'student') -> np.ndarray:
    """(N, C, 2) pixels in intersection and union of each class, image by image.

    Args:
        model (nn.Module, optional): In evaluation mode. None: the patches'
            normalized pixels.
        name (str): 'camvid' or 'scenes'.
        data (Path): Folder of packed images, for CamVid.
        cfg (mmengine.Config): Config of the run: side of the input and normalization.
        branch (str): 'student' or 'teacher'. Defaults to 'student'.

    Returns:
        np.ndarray: (N, C, 2) int64, N test images.
    """
    from mssl_plugins.evaluation.features import find_backbone_module
    from mssl_plugins.evaluation.knn import knn_predict

    pairs, classes = SETS[name]
    spec = cfg.model.backbone
    side, patch = spec.get('img_size', 64), spec.get('patch_size', 8)
    side = side if isinstance(side, int) else side[0]
    mean, std = (
        torch.tensor(cfg.model.data_preprocessor[k]).view(1, 3, 1, 1) for k in ('mean', 'std')
    )

    def normalize(x: Tensor) -> Tensor:
        return (x.permute(0, 3, 1, 2).float() - mean) / std

    if model is None:

        def grid(x):
            return _pixel_grid(x, patch)
    else:
        backbone = find_backbone_module(model, branch)

        def grid(x):
            return token_grid(backbone, x)

    keys, values = [], []
    for tokens, labels in _of_split(grid, normalize, pairs(data, 'train'), side):
        step = labels.shape[1] // tokens.shape[1]
        wanted = majority(labels, step, classes)
        there = torch.from_numpy(wanted != IGNORED)
        keys.append(tokens[there])
        values.append(torch.from_numpy(wanted)[there].long())
    keys, values = torch.cat(keys), torch.cat(values)
    chosen = torch.linspace(0, len(keys) - 1, min(BANK_TOKENS, len(keys))).long()
    keys, values = keys[chosen], values[chosen]
    found = []
    for tokens, labels in _of_split(grid, normalize, pairs(data, 'val'), side):
        predicted = knn_predict(
            tokens.flatten(0, 2),
            keys,
            values,
            num_classes=classes,
            k=NEIGHBORS,
            temperature=TEMPERATURE,
        )
        predicted = predicted.view(tokens.shape[:3]).numpy()
        step = labels.shape[1] // predicted.shape[1]
        predicted = predicted.repeat(step, 1).repeat(step, 2)
        found.append(counts(predicted, labels, classes))
    return np.stack(found)


def counts(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(C, 2) int: pixels in intersection and union of each class, labeled ones only."""
    there = labels != IGNORED
    rows = []
    for c in range(classes):
        a, b = (predicted == c) & there, (labels == c) & there
        rows.append(((a & b).sum(), (a | b).sum()))
    return np.array(rows, np.int64)
