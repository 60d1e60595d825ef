"""Freed memory kept for the next step, on a CPU."""

import ctypes

import torch

LARGEST = (2**30, 2**25)  # bytes of the largest block that is kept; an older glibc takes the second
TOP = -1  # never give back what is free at the end of the heap
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory(device: torch.device) -> bool:
    """Tells glibc to keep what a training step frees, instead of giving it back.

    By default glibc requests each block of more than 32 MiB from the system again, which
    fills it with zeros page by page.  That took 12 % of a DINO step in bfloat16, whose
    prototypes and their gradients are such blocks.  A process then holds its peak until it
    ends, and so do workers forked from it.  An older glibc keeps blocks of up to 32 MiB.

    Args:
        device (torch.device): Where the model is trained.

    Returns:
        bool: Whether glibc took the settings; False on a GPU, or without ``mallopt``.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if device.type == 'cpu' else None
    if mallopt is None:
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST) and bool(
        mallopt(M_TRIM_THRESHOLD, TOP)
    )
