"""Steps in bfloat16 beside their own operators, without copies of activations.

bfloat16 speeds up products, but not sums, normalizations and the optimizer's step.  The
other side of a row runs the operators of the uncompiled step again, in their order and on
the tensors that they had.  Parameters are float32: casts of whole parameters to bfloat16,
and of their gradients back, are among them.  All tensors of a step are held, so inputs come
from memory that the step itself may find in the cache.

The last row is a step of ASL beside one of iBOT.  The operators of both set its goal: each
is timed as it runs in its step, because 24 GB cannot hold all tensors of 32 images.
"""

import statistics
import time
from functools import partial
from typing import Callable, List, Sequence, Set, Tuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from benchmark import Line
from benchmarks.lower_bound import shares
from benchmarks.steps import Step, steps
from benchmarks.transformers import our_asl, our_ibot

METHODS = ('BYOL', 'MaskCo', 'DINO', 'MAE', 'ASL')
CAST = 'aten::_to_copy'
COPIES = (CAST, 'aten::copy_', 'aten::clone')  # casts and changes of layout


class Operators(TorchDispatchMode):
    """Keeps the operators that run, in their order, with their arguments.

    Those that only make views, copies or empty tensors are left out, but not the casts
    of parameters and of their gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: List[tuple] = []  # (operator, args, kwargs)
        self.weights: Set[torch.Size] = set()  # shapes of parameters that were cast

    def _copies(self, name: str, args: Sequence) -> bool:
        """Whether an operator is a copy, and no cast of a parameter or of its gradient."""
        if name == CAST and isinstance(args[0], nn.Parameter):
            self.weights.add(args[0].shape)
        return name in COPIES and not (name == CAST and args[0].shape in self.weights)

    def counts(self, func, args: Sequence) -> bool:
        """Whether an operator is one of those that are kept."""
        name = func._schema.name
        left_out = func.is_view or name.startswith(('aten::empty', 'profiler::'))
        return not (left_out or self._copies(name, args))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Notes one operator."""
        kwargs = kwargs or {}
        if self.counts(func, args):
            self.seen.append((func, *tree_map_only(Tensor, Tensor.detach, (args, kwargs))))
        return func(*args, **kwargs)


class OwnTime(Operators):
    """Adds up the seconds of the operators instead of keeping them."""

    seconds = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Times one operator."""
        counts, start = self.counts(func, args), time.perf_counter()
        found = func(*args, **(kwargs or {}))
        self.seconds += counts * (time.perf_counter() - start)
        return found


def own_seconds(step: Callable[[], None]) -> float:
    """Seconds of a step's operators, without copies of activations and Python's work."""
    with OwnTime() as own:
        step()
    return own.seconds


def replay(step: Callable[[], None]) -> Callable[[], None]:
    """A call that computes a step's operators, each on the arguments that it had."""
    step()  # the first one makes the optimizer's state
    with Operators() as operators:
        step()

    def call() -> None:
        for func, args, kwargs in operators.seen:
            func(*args, **kwargs)

    return call


def sides(step: Step) -> Tuple[Callable, Callable]:
    """A step in bfloat16, and its operators alone."""
    return step.ready(amp=True), replay(step.ready(amp=True))


def ratio(ours: Callable, theirs: Callable, batch: int) -> float:
    """Measures a goal: 90 % of the ratio of the operators of two steps in bfloat16.

    Args:
        ours (Callable): Takes a batch size and ``amp``, makes our step.
        theirs (Callable): The same of the other step.
        batch (int): Images of a step.
    """
    torch.manual_seed(0)  # iBOT draws which patches are masked
    a, b = (make(batch, amp=True) for make in (ours, theirs))
    a(), b()  # the first ones make the optimizers' states
    pairs = [(own_seconds(a), own_seconds(b)) for _ in range(3)]
    return 0.9 * statistics.median(y / x for x, y in pairs)


LINES = [
    Line(
        f'{what}, bfloat16',
        'its operators one by one, without casts and copies of activations',
        1.1,
        partial(sides, step),
        at_most=True,
        bf16=True,
        shares=shares,
    )
    for what, step in steps('cpu').items()
    if step.method in METHODS
]
LINES += [
    Line(
        'ASL step, ViT-B/16, 224 px, batch 32, bfloat16',
        'our iBOT step, 2 x 224 + 10 x 96 px, batch 32, bfloat16; goal: 90 % of the ratio '
        "of their operators' own time",
        partial(ratio, our_asl, our_ibot, 32),
        lambda: (our_asl(32, amp=True), our_ibot(32, amp=True)),
        rounds=3,
        bf16=True,
        memory=True,
    )
]
