"""Losses run in float32 whatever the network ran in."""

import torch
from torch import Tensor


def upcast(x: Tensor) -> Tensor:
    """bfloat16 and float16 become float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
