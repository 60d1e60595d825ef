"""Training steps with blocks compiled by torch.compile, beside the same uncompiled."""

from typing import Callable

import torch

from benchmark import Line
from benchmarks.steps import Step, steps
from mssl_plugins.engine.hooks.compile_hook import compile_blocks


def compiled(step: Step, amp: bool, device: str = 'cpu') -> Callable[[], None]:
    """A step whose blocks are compiled when they first run."""
    torch._dynamo.reset()  # forgets the graphs of an earlier line
    model = step.build()
    compile_blocks(model, teachers=device != 'cpu')  # as CompileHook does
    return step.make(model, amp=amp, device=device)


LINES = [
    Line(
        f'{what}, compiled, {"bfloat16" if amp else "float32"}',
        'the same uncompiled',
        1.0,
        lambda step=step, amp=amp: (compiled(step, amp), step.ready(amp=amp)),
        rounds=3,
        bf16=amp,
    )
    for what, step in steps('cpu').items()
    for amp in (False, True)
]
