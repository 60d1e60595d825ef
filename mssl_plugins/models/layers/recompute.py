"""Activation checkpointing: memory for time (arXiv 1604.06174)."""

from typing import Callable

import torch
from torch.utils.checkpoint import checkpoint


def run_block(recompute: bool, block: Callable, *args):
    """``block(*args)``, its activations kept or computed again in the backward pass.

    Random numbers are drawn anew as they were, so that dropout and drop path
    hide the same.

    Args:
        recompute (bool): Keep nothing but ``args`` for the backward pass.
        block (Callable): A module, or a function of tensors.
        *args: What it takes.
    """
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False)
    return block(*args)
