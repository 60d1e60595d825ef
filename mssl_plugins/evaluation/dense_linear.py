"""A linear head on frozen patch features: DINOv2's (arXiv 2304.07193, section 7.4).

The head is BatchNorm and a 1 x 1 convolution, whose logits are interpolated to the
mask and compared with it pixel by pixel.  Optimizer and schedule are those of the
config ``configs/_base_/dense/linear.py``, which mmseg's runner trains on augmented
crops.  Here the features are computed once and kept, so every image is seen whole,
and training takes at most EPOCHS epochs.
"""

import bisect
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mssl_plugins.evaluation.probes import LinearProbes

ITERATIONS, WARMUP, BATCH = 40000, 1500, 16
RATE, DECAY, FIRST = 1e-3, 1e-4, 1e-6  # FIRST: the warm-up's first factor
EPOCHS = 50  # our choice: on a small set 40,000 iterations are thousands of epochs
STD = 0.01  # of the normal initial weights, mmseg's


def length(images: int, epochs: Optional[int] = None) -> Tuple[int, int, int]:
    """Batch, iterations in all and iterations of warm-up for a number of images.

    Args:
        images (int): Training images.
        epochs (int, optional): Passes over them. Defaults to None: 40,000
            iterations, but at most EPOCHS passes.

    Returns:
        tuple[int, int, int]: The batch is 16, or all images if there are fewer; the
        warm-up is as large a fraction of the iterations as 1,500 of 40,000.
    """
    batch = min(BATCH, images)
    each = -(-images // batch)
    total = each * epochs if epochs else min(ITERATIONS, each * EPOCHS)
    return batch, total, round(total * WARMUP / ITERATIONS)


def factor(step: int, total: int, warmup: int) -> float:
    """The learning rate of an iteration divided by RATE: linear warm-up, linear decay to 0.

    Args:
        step (int): Number of the iteration, from 0 on.
        total (int): Iterations of the training.
        warmup (int): Iterations of the warm-up.

    Returns:
        float: 1e-6 at first, 1 at the end of the warm-up, 0 at the end.
    """
    if step < warmup:
        return FIRST + (1 - FIRST) * step / max(warmup - 1, 1)
    return 1 - (step - warmup) / max(total - warmup - 1, 1)


class Images:
    """Kept features of the training images, read in any order.

    Args:
        parts (Sequence[np.ndarray]): (n, P * D) each, file by file.
        grid (tuple[int, int]): (h, w), h * w = P patches of an image.
    """

    def __init__(self, parts: Sequence[np.ndarray], grid: Tuple[int, int]) -> None:
        self.parts, self.grid = list(parts), grid
        self.ends = np.cumsum([len(p) for p in parts]).tolist()

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Tensor:
        """(P, D) float32 of one image."""
        number = bisect.bisect_right(self.ends, index)
        part = self.parts[number]
        row = part[index - self.ends[number] + len(part)]
        return torch.from_numpy(np.array(row, np.float32)).view(self.grid[0] * self.grid[1], -1)


def pixel_gradient(
    logits: Tensor, masks: Sequence[Tensor], grid: Tuple[int, int]
) -> Tuple[float, Tensor]:
    """Mean cross-entropy of the interpolated logits over all labeled pixels.

    It is computed one image at a time, so that the pixels stay in the cache.

    Args:
        logits (Tensor): (B, P, C).
        masks (Sequence[Tensor]): B label maps (H, W) int64; -1 is no label.
        grid (tuple[int, int]): (h, w), h * w = P.

    Returns:
        tuple[float, Tensor]: The loss, and its gradient with respect to the logits,
        (B, P, C).
    """
    labeled = max(sum(int((m >= 0).sum()) for m in masks), 1)
    loss, gradient = 0.0, torch.empty_like(logits)
    for i, (image, mask) in enumerate(zip(logits, masks)):
        small = image.detach().T.view(1, -1, *grid).requires_grad_()
        large = F.interpolate(small, mask.shape, mode='bilinear')
        one = F.cross_entropy(large, mask[None], ignore_index=-1, reduction='sum') / labeled
        gradient[i] = torch.autograd.grad(one, small)[0].flatten(2)[0].T
        loss += float(one.detach())
    return loss, gradient


def train_head(
    images: Images,
    mask: Callable[[int], np.ndarray],
    num_classes: int,
    epochs: Optional[int] = None,
    seed: int = 0,
    progress: Optional[Callable[[int], None]] = None,
) -> LinearProbes:
    """Trains BatchNorm and a linear layer with AdamW.

    Args:
        images (Images): The training images' features.
        mask (Callable): Index -> (H, W) labels, -1 where there is none.
        num_classes (int): C.
        epochs (int, optional): See :func:`length`. Defaults to None.
        seed (int): Seed of initial weights and order. Defaults to 0.
        progress (Callable, optional): Called with the number of iterations done.
            Defaults to None.

    Returns:
        LinearProbes: One classifier with BatchNorm's statistics.
    """
    generator = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm1d(images[0].size(1))
    linear = nn.Linear(norm.num_features, num_classes)
    nn.init.normal_(linear.weight, std=STD, generator=generator)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.AdamW(
        [*norm.parameters(), *linear.parameters()], lr=RATE, weight_decay=DECAY
    )
    batch, total, warmup = length(len(images), epochs)
    order: List[int] = []
    for step in range(total):
        if not order:
            order = torch.randperm(len(images), generator=generator).tolist()
        chosen, order = order[:batch], order[batch:]
        optimizer.param_groups[0]['lr'] = RATE * factor(step, total, warmup)
        with torch.enable_grad():
            x = torch.stack([images[i] for i in chosen])
            logits = linear(norm(x.flatten(0, 1))).view(*x.shape[:2], -1)
            masks = [torch.from_numpy(mask(i)) for i in chosen]
            _, gradient = pixel_gradient(logits, masks, images.grid)
            optimizer.zero_grad()
            logits.backward(gradient)
        optimizer.step()
        if progress is not None:
            progress(step + 1)
    return _folded(norm, linear)


def _folded(norm: nn.BatchNorm1d, linear: nn.Linear) -> LinearProbes:
    """Folds BatchNorm's scale and shift into the linear layer."""
    weight = linear.weight.detach().T
    bias = linear.bias.detach() + norm.bias.detach() @ weight
    return LinearProbes(
        (norm.weight.detach()[:, None] * weight)[:, None],
        bias[None],
        norm.running_mean,
        (norm.running_var + norm.eps).rsqrt(),
    )
