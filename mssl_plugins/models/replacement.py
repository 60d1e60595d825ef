"""Replacements for masked pixels and tokens.

The masks themselves are in :mod:`mssl_plugins.models.masking`.
"""

from typing import Optional

import torch
from torch import Tensor

from mssl_plugins.errors import unknown

FILLS = ('mean', 'noise', 'image_mean', 'none')


def fill_pixels(images: Tensor, mask: Tensor, fill: str) -> Tensor:
    """Images with their masked pixels filled (MaskCo).

    Args:
        images (Tensor): (B, C, H, W), normalized.
        mask (Tensor): (B, 1, H, W) bool, ``True`` = masked.
        fill (str): ``'mean'`` (0, the data set's mean color), ``'noise'``
            (standard normal), ``'image_mean'`` (the image's own mean color)
            or ``'none'`` (the images as they are).

    Returns:
        Tensor: (B, C, H, W).

    Raises:
        ValueError: Unknown fill.
    """
    if fill == 'none':
        return images
    if fill == 'mean':
        value = images.new_zeros(())
    elif fill == 'noise':
        value = torch.randn_like(images)
    elif fill == 'image_mean':
        value = images.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
    else:
        raise unknown(fill, FILLS, 'fill of the masked pixels')
    return torch.where(mask, value, images)


def bert_replacement(
    patches: Tensor, mask: Tensor, mask_token: Tensor, generator: Optional[torch.Generator] = None
) -> Tensor:
    """BERT's replacement of masked tokens (arXiv 1810.04805, section 3.1).

    80 % become the mask token, 10 % a random token of the batch, 10 % stay.

    Args:
        patches (Tensor): Projected, before positions, (B, L, C).
        mask (Tensor): (B, L) bool, ``True`` = masked.
        mask_token (Tensor): Broadcast to (B, L, C).
        generator (torch.Generator, optional): A generator of the CPU. Defaults to
            None, torch's own.

    Returns:
        Tensor: (B, L, C), to be used where ``mask`` is ``True``.
    """
    u = torch.rand(mask.shape, generator=generator).to(mask.device).unsqueeze(-1)
    other = torch.randint(mask.numel(), mask.shape, generator=generator).to(mask.device)
    replacement = torch.where(u < 0.8, mask_token.to(patches.dtype), patches)
    return torch.where(u >= 0.9, patches.flatten(0, 1)[other], replacement)
