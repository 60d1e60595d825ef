"""Training steps in bfloat16 beside float32, and what the same layers gain alone."""

import time
from collections import Counter
from typing import Callable

import torch
from torch import nn

from benchmark import Line
from benchmarks.steps import steps

SHARE = 0.9  # of the layers' own gain


def products(step: Callable) -> Counter:
    """How often a step calls each linear layer and convolution, by its arguments and input."""
    seen = Counter()

    def note(module, inputs):
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            if isinstance(module, nn.Linear):
                key = (nn.Linear, module.in_features, module.out_features)
            else:
                key = (
                    type(module),
                    *(module.in_channels, module.out_channels, module.kernel_size),
                    *(module.stride, module.padding, module.dilation, module.groups),
                )
            # the teacher's run forward alone, the first layer without a gradient to its input
            seen[
                key,
                tuple(inputs[0].shape),
                inputs[0].requires_grad,
                torch.is_grad_enabled() and module.weight.requires_grad,
            ] += 1

    handle = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        step()
    finally:
        handle.remove()
    return seen


def seconds(key, shape, into_input: bool, into_weight: bool, dtype: torch.dtype) -> float:
    """Seconds of the fastest of four calls of one layer, forward and backward.

    Args:
        key (tuple): Class and arguments of the linear layer or convolution.
        shape (tuple): Shape of its input.
        into_input (bool): Whether the gradient goes to the input.
        into_weight (bool): Whether it goes to the weight.
        dtype (torch.dtype): Type of layer and input.
    """
    layer = key[0](*key[1:]).to(dtype)
    x = torch.randn(shape).to(dtype)
    if isinstance(layer, nn.Conv2d):
        layer, x = (part.to(memory_format=torch.channels_last) for part in (layer, x))
    x.requires_grad_(into_input)
    layer.requires_grad_(into_weight)
    best = float('inf')
    for _ in range(4):
        start = time.perf_counter()
        y = layer(x)
        if y.requires_grad:
            y.backward(y.detach())
        best = min(best, time.perf_counter() - start)
    return best


def goal(make: Callable) -> Callable[[], float]:
    """Measures 90 % of the gain that a step's linear layers and convolutions have alone."""

    def measure() -> float:
        cost = dict.fromkeys((torch.float32, torch.bfloat16), 0.0)
        for what, count in products(make()).items():
            for dtype in cost:
                cost[dtype] += count * seconds(*what, dtype)
        return SHARE * cost[torch.float32] / cost[torch.bfloat16]

    return measure


LINES = [
    Line(
        f'{what}, bfloat16',
        'the same in float32; goal: 90 % of what its layers gain alone',
        goal(step.ready),
        lambda step=step: (step.ready(amp=True), step.ready()),
        rounds=5,
        bf16=True,
    )
    for what, step in steps('cpu').items()
]
