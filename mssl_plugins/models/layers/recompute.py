"""Activation checkpointing: less memory for more time (arXiv 1604.06174)."""

from typing import Callable

import torch
from torch.utils.checkpoint import checkpoint


def run_block(recompute: bool, block: Callable, *args):
    """``block(*args)``, its activations kept or computed again in the backward pass.

    The second computation draws the same random numbers, so that dropout and drop
    path drop the same.

    Args:
        recompute (bool): Keep nothing but ``args`` for the backward pass.
        block (Callable): A module, or a function of tensors.
        *args: Its arguments.

    Returns:
        Any: What ``block`` returns.
    """
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False)
    return block(*args)
