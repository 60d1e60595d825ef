"""What iBOT's student predicts where patches are masked (arXiv 2111.07832, section 3).

It compares the heads' unit vectors before the prototypes: their dot products with
the prototypes are the logits of the loss.
"""

import argparse
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.errors import UserError
from mssl_plugins.models.masking import mim_mask
from mssl_plugins.models.selfsup.ibot import IBOT
from mssl_plugins.visualization.canvas import save_image
from mssl_plugins.visualization.images import (
    seen_images,
    whole_model,
)
from mssl_plugins.visualization.mph import figure

TITLES = ('image', 'masked', 'cosine, -1 to 1', 'student of masked', 'teacher of image')


@torch.no_grad()
def patch_outputs(
    model, x: Tensor, ratio: float, samples: Optional[list] = None
) -> Tuple[Tensor, Tensor, Tensor]:
    """Masks, and the vectors of student and teacher for every patch.

    Args:
        model (nn.Module): :class:`mssl_plugins.models.selfsup.ibot.IBOT`, in evaluation mode.
        x (Tensor): (B, 3, H, W), normalized.
        ratio (float): Fraction of patches that the model's strategy masks.
        samples (list, optional): Data samples, for methods that take segments.
            Defaults to None.

    Returns:
        tuple[Tensor, Tensor, Tensor]: (B, 1, H, W) bool, ``True`` = masked;
        the student's (B, D, rows, columns), of the masked images; the
        teacher's, likewise, of the whole images.
    """
    extra = model.backbone_kwargs(samples, 0)
    grid = tuple(side // model.patch_size for side in x.shape[2:])
    how = dict(stat_views=1, logits=False)
    by_attention = model.strategy.startswith('attention')
    teacher = model.teacher([x], [extra], attention=by_attention, **how)
    mask = mim_mask(model.strategy, [ratio] * len(x), grid, teacher.attention[0]).to(x.device)
    student = model.student([x], [dict(extra, mask=mask)], **how)
    vectors = [
        head.vectors(found.tokens[0][:, 1:].flatten(0, 1))  # (B * L, D)
        .unflatten(0, (len(x), -1))
        .transpose(1, 2)
        .unflatten(2, grid)
        for head, found in ((model.head, student), (model.teacher.module.head, teacher))
    ]
    pixels = mask.unflatten(1, grid).unsqueeze(1)
    for dim in (2, 3):
        pixels = pixels.repeat_interleave(model.patch_size, dim)
    return pixels, vectors[0], vectors[1]


def run(args: argparse.Namespace) -> None:
    """Shows what the student makes of masked patches, beside the teacher's output.

    Raises:
        UserError: If the model is not iBOT or masks nothing, or the ratio is not in 0 .. 1.
    """
    model = whole_model(args.config, args.checkpoint, [], '')
    if not isinstance(model, IBOT):
        raise UserError(f'{args.config}: {type(model).__name__} is not iBOT; configs/ibot are')
    if not model.masks:
        raise UserError(f'{args.config} masks nothing: its ratios and spread are 0')
    if not 0 < args.ratio <= 1:
        raise UserError(f'--ratio {args.ratio:g}: must be above 0, at most 1')
    images, files, x, samples = seen_images(model, args)
    mask, student, teacher = patch_outputs(model, x, args.ratio, samples)
    seen = np.where(mask[:, 0, ..., None].numpy(), np.uint8(128), images)
    parts = [part.float().numpy() for part in (student, teacher)]
    save_image(args.out, figure(images, seen, *parts, files=files, titles=TITLES))
