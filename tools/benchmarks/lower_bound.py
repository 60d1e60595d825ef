"""Steps of ViT-B in float32 beside the least time that their operations can take."""

from functools import partial
from typing import Callable, List, Tuple

import torch
from torch.profiler import ProfilerActivity, profile

from benchmark import Line
from benchmarks.operations import operations
from benchmarks.steps import Step, steps

SIDE = 1024  # of the square matrices whose product gives the rate
METHODS = ('MAE', 'ASL')
KINDS = {  # operators of torch's profiler, and what the page calls them
    'matrix products': (
        'aten::addmm',
        'aten::mm',
        'aten::bmm',
        'aten::baddbmm',
        'mkldnn::_linear_pointwise',
    ),
    'attention': ('aten::_scaled_dot_product_flash_attention_for_cpu',),
    'GELU': ('aten::gelu',),
    'LayerNorm': ('aten::native_layer_norm',),
    'convolution': ('aten::mkldnn_convolution', 'aten::convolution'),
    'AdamW': ('aten::_fused_adamw_', 'Optimizer.step'),
    'softmax': ('aten::_softmax', 'aten::_log_softmax'),
    'copies': ('aten::copy_', 'aten::cat', 'aten::gather', 'aten::index', 'aten::fill_'),
    'sums and arithmetic': ('aten::sum', 'aten::mean', 'aten::add', 'aten::mul', 'aten::div'),
}


def products(count: int) -> Callable[[], None]:
    """A call that computes ``count`` operations as products of square matrices."""
    a, b, out = (torch.randn(SIDE, SIDE) for _ in range(3))
    whole, rest = divmod(count, 2 * SIDE**3)
    columns = round(rest / (2 * SIDE**2))

    def call() -> None:
        for _ in range(whole):
            torch.mm(a, b, out=out)
        torch.mm(a, b[:, :columns])

    return call


def kind(operator: str) -> str:
    """What the page calls an operator, its backward included."""
    found = (kind for kind, names in KINDS.items() if operator.startswith(names))
    return next(found, 'other operators')


def shares(call: Callable[[], None]) -> List[Tuple[str, float]]:
    """Shares of a call's time by kind of operator, the largest first; they sum to 1."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        call()
    times = {}
    for row in seen.key_averages():
        times[kind(row.key)] = times.get(kind(row.key), 0.0) + row.self_cpu_time_total
    total = sum(times.values())
    return sorted(((k, t / total) for k, t in times.items()), key=lambda pair: -pair[1])


def sides(step: Step) -> Tuple[Callable, Callable]:
    """A step, and the operations of its products alone."""
    return step.ready(), products(operations(step.ready()))


LINES = [
    Line(
        f'{what}, float32',
        'its operations as products of square matrices (the least time)',
        1.25,
        partial(sides, step),
        at_most=True,
        shares=shares,
    )
    for what, step in steps('cpu').items()
    if step.method in METHODS
]
