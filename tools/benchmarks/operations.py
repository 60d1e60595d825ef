"""How many operations a training step takes."""

from typing import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operations(call: Callable[[], None]) -> int:
    """Operations of a step's products and convolutions, forward and backward.

    Attention is written out for the count: a fused kernel computes some of it twice,
    and that of a CPU is not counted at all.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
