"""Freed memory kept for the next step, on a CPU."""

import ctypes

import torch

LARGEST = (2**30, 2**25)  # bytes of a block that is kept; older versions of glibc take the second
TOP = 2**31 - 1  # bytes kept at the end of the heap: the largest int
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory(device: torch.device) -> bool:
    """Tells glibc to keep what a training step frees, instead of giving it back.

    glibc takes blocks of more than 32 MiB from the system anew each time, and the
    system fills them with zeros page by page: a tenth of a DINO step in bfloat16, whose
    prototypes and their gradients are such blocks.  What a process holds at its peak
    it then holds until it ends, and so do workers forked from it.

    Args:
        device (torch.device): Where the model is trained.

    Returns:
        bool: Whether it did: only for a CPU, and where malloc is glibc's.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if device.type == 'cpu' else None
    if mallopt is None:
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST) and bool(
        mallopt(M_TRIM_THRESHOLD, TOP)
    )
