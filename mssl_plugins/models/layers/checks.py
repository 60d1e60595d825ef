"""Checks of what a Vision Transformer is given beside images."""

import torch
from torch import Tensor


def check_keep(keep: Tensor, patches: Tensor) -> None:
    """Refuses indices that are not (B, Lk) long, of patches (B, L, C).

    Raises:
        ValueError: If they are not.
    """
    if keep.dtype != torch.long or keep.ndim != 2 or len(keep) != len(patches):
        raise ValueError(
            f'keep must be long indices of shape ({len(patches)}, Lk), '
            f'got {keep.dtype} of shape {tuple(keep.shape)}'
        )


def check_relation(relation: Tensor, tokens: Tensor, heads: int) -> None:
    """Refuses a relation that does not broadcast to the logits of tokens (B, N, C).

    Raises:
        ValueError: If it does not.
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
