"""Checks of what a Vision Transformer is given besides images."""

import torch
from torch import Tensor


def check_keep(keep: Tensor, patches: Tensor) -> None:
    """Refuses indices of patches that do not fit.

    Args:
        keep (Tensor): Should be (B, Lk) long.
        patches (Tensor): (B, L, C).

    Raises:
        ValueError: If they have another type or shape.
    """
    if keep.dtype != torch.long or keep.ndim != 2 or len(keep) != len(patches):
        raise ValueError(
            f'keep must be long indices of shape ({len(patches)}, Lk), '
            f'got {keep.dtype} of shape {tuple(keep.shape)}'
        )


def check_relation(relation: Tensor, tokens: Tensor, heads: int) -> None:
    """Refuses a relation that does not broadcast to the logits.

    Args:
        relation (Tensor): Should be (B or 1, heads or 1, N, N).
        tokens (Tensor): (B, N, C).
        heads (int): Heads of the attention.

    Raises:
        ValueError: If it has another shape.
    """
    b, n = tokens.shape[:2]
    if (
        relation.ndim != 4
        or relation.shape[0] not in (1, b)
        or relation.shape[1] not in (1, heads)
        or relation.shape[2:] != (n, n)
    ):
        raise ValueError(
            f'relation must have shape ({b} or 1, {heads} or 1, {n}, {n}), class token, '
            f'registers and kept tokens counted, got {tuple(relation.shape)}'
        )
