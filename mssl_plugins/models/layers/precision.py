"""Precision: float32 losses, bfloat16 where it is computed; and whether code is compiled."""

import torch
from torch import Tensor


def upcast(x: Tensor) -> Tensor:
    """bfloat16 and float16 become float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def is_compiling() -> bool:
    """Whether this code is being compiled; torch 2.1 cannot tell."""
    return getattr(torch.compiler, 'is_compiling', bool)()


def computes_bfloat16(device: str) -> bool:
    """Whether a device has bfloat16 arithmetic; a processor may only emulate it.

    Args:
        device (str): Its type, such as 'cpu'.

    Returns:
        bool: True for everything but a CPU without it.
    """
    # oneDNN answers, which a build of torch may lack.
    return device != 'cpu' or getattr(torch.ops.mkldnn, '_is_mkldnn_bf16_supported', lambda: True)()
