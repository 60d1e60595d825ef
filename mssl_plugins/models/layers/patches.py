"""Images as rows of patches and back (MAE, arXiv 2111.06377, section 3)."""

from typing import Tuple

from torch import Tensor


def patchify(images: Tensor, patch: int) -> Tensor:
    """Images as rows of patches, each patch row by row, channels last.

    Args:
        images (Tensor): (B, C, H, W), H and W divisible by ``patch``.
        patch (int): Side p of a patch in px.

    Returns:
        Tensor: (B, L, p * p * C).
    """
    x = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (B, C, h, p, w, p)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, patch: int, grid: Tuple[int, int]) -> Tensor:
    """The inverse of :func:`patchify`.

    Args:
        patches (Tensor): (B, L, p * p * C).
        patch (int): Side p of a patch in px.
        grid (Tuple[int, int]): Rows and columns of patches, L in all.

    Returns:
        Tensor: (B, C, H, W).
    """
    x = patches.unflatten(2, (patch, patch, -1)).unflatten(1, grid)  # (B, h, w, p, p, C)
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens (B, L, D) at positions (B, n) -> (B, n, D)."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
