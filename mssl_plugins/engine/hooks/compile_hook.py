"""torch.compile for the blocks of a network.

A whole training step takes minutes to compile, and what methods do between their
networks stops the compiler.  A network is made of a few kinds of blocks, each
repeated many times: one compiled block serves all that are like it (regional
compilation), and state dicts keep their keys.
"""

import functools
import os
import platform
import subprocess
from typing import Callable, NamedTuple, Optional, Sequence
from unittest import mock

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from mssl_plugins.engine.fsdp import FSDP
from mssl_plugins.errors import UserError, unknown
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS

# By name, because several packages have classes of these names.
REGIONS = (
    'Block',
    'TransformerEncoderLayer',
    'BasicBlock',
    'Bottleneck',
    'SwinBlock',
    'ConvNeXtBlock',
)
BATCH_NORM = (
    'aten::_native_batch_norm_legit_functional',
    'aten::_native_batch_norm_legit_no_training',
    'aten::_native_batch_norm_legit.no_stats',
    'aten::native_batch_norm_backward',
)
KEPT = ' '.join(BATCH_NORM)  # tells kept graphs from those of versions that kept less
LIMIT = 64  # graphs of one class: one for each size of views, branch and stage of a ResNet


def compiled_graphs() -> int:
    """Number of graphs that this process has compiled."""
    return torch._dynamo.utils.counters['stats']['unique_graphs']


def graph_breaks() -> int:
    """Number of graph breaks: places where a graph had to end before its block did."""
    return sum(torch._dynamo.utils.counters['graph_break'].values())


def why_not(folder: str = os.path.dirname(torch.__file__)) -> Optional[str]:
    """Says why torch.compile cannot compile for the CPU of this machine.

    Args:
        folder (str): Where torch is installed. Defaults to the folder of this torch.

    Returns:
        str, optional: The reason; None if it can.
    """
    if not hasattr(torch.compiler, 'set_stance'):
        return f'torch {torch.__version__} is too old: 2.6 or later is needed'
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return 'there is no C++ compiler: install g++, or name one with the variable CXX'
    if ' ' in folder:  # inductor gives it to the linker without quotes
        return f'torch is in a path with a space, which its compiler cannot take: {folder}'
    return None


def spare_probes() -> None:
    """Spares torch's compiler its test programs for the kinds of vector units of an x86 CPU.

    The largest includes all of torch's vector code and takes about five seconds a unit, and
    each is loaded by a new Python that imports torch.  Whether the C++ compiler knows a unit,
    a program of a few lines tells.
    """
    try:
        from torch._inductor import config, cpu_vec_isa

        if config.cpp.vec_isa_ok is None and platform.machine() == 'x86_64':
            with mock.patch.object(cpu_vec_isa.VecISA, 'check_build', _knows):
                cpu_vec_isa.valid_vec_isa_list()  # torch keeps what it found
    except (ImportError, AttributeError, OSError, TypeError):
        return  # another torch, which finds out by itself


def _knows(unit, program: str) -> bool:
    """Says whether the C++ compiler translates a program for a vector unit."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    if '<ATen/' in program:  # of torch's own code, only the flags are tried
        program = '#include <immintrin.h>\n'
    argv = (get_cpp_compiler(), *unit.build_arch_flags().split(), '-c', '-xc++', '-')
    done = subprocess.run([*argv, '-o', os.devnull], input=program.encode(), capture_output=True)
    return done.returncode == 0


@functools.lru_cache(maxsize=None)  # once a process
def keep_batch_norm() -> None:
    """Leaves BatchNorm on a CPU as torch's own operator, in all that is compiled from now on.

    Torch's compiler writes it out as sums and products: a few more C++ compilations for each
    block, no faster in training, and rounded otherwise.  On a GPU it goes on doing so.  A
    network that is not in channels-last memory gets copies around it, because convolutions are.
    """
    try:
        from torch._inductor.decomposition import decompositions
        from torch._inductor.lowering import make_fallback

        for operator in [op for op in decompositions if op.name() in BATCH_NORM]:
            make_fallback(operator, _one_layout, warn=False, override_decomp=True)
            decompositions[operator] = _NotOnCPU(decompositions[operator])
        torch.compiler.config.cache_key_tag += KEPT
    except (ImportError, AttributeError, TypeError):
        return  # another torch: as it does


class _NotOnCPU(NamedTuple):
    """Another form of an operator, for tensors that are not on a CPU."""

    form: Callable

    def __call__(self, x: Tensor, *args, **kwargs):
        return NotImplemented if x.device.type == 'cpu' else self.form(x, *args, **kwargs)


def _one_layout(node: torch.fx.Node, *args, **kwargs):
    """Gives the activations of an operator one layout: forward x, backward also its gradient.

    Of two layouts, the operator would return one that torch's compiler does not expect.
    """
    from torch._inductor import ir

    given = {i: arg for i, arg in enumerate(node.args[:2]) if isinstance(arg, torch.fx.Node)}
    batches = [i for i, arg in given.items() if arg.meta['val'].dim() > 1]  # no weights
    order = ir.get_stride_order(given[batches[-1]].meta['val'].stride())
    args = list(args)
    for i in batches:
        args[i] = ir.ExternKernel.require_stride_order(args[i], order)
    return tuple(args), kwargs


def compile_blocks(
    model: nn.Module,
    regions: Sequence[str] = REGIONS,
    backend: str = 'inductor',
    mode: Optional[str] = None,
    teachers: bool = True,
) -> int:
    """Marks blocks, each of which is compiled when it first runs.

    For the whole process, random numbers in compiled code become torch's own, the limit of
    recompilations is raised, and BatchNorm on a CPU stays torch's own operator.

    Args:
        model (nn.Module): Any.
        regions (Sequence[str]): Names of the classes of blocks. Defaults to those of
            :class:`CompileHook`.
        backend (str): Backend of ``torch.compile``. Defaults to ``'inductor'``.
        mode (str, optional): Mode of inductor. Defaults to None.
        teachers (bool): Whether to compile blocks without trained parameters too, such as a
            teacher's. If no block is trained, all are compiled. Defaults to True.

    Returns:
        int: Number of blocks.
    """
    torch._inductor.config.fallback_random = True  # random numbers as torch draws them
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, LIMIT)
    if backend == 'inductor':
        keep_batch_norm()
    found = [m for m in model.modules() if type(m).__name__ in regions]
    trained = [m for m in found if any(p.requires_grad for p in m.parameters())]
    found = found if teachers else trained or found
    for block in found:
        # each size has its own graph: where sizes are symbols, inductor may fail
        block.compile(backend=backend, mode=mode, dynamic=False)
    return len(found)


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the blocks of a model's networks, each when it first runs.

    Losses are those of the plain run up to rounding: random numbers are drawn
    as torch draws them.  What is measured while training (k-NN, figures) runs
    uncompiled, so that its sizes need no graphs.  After the first epoch the log
    tells how many graphs there are; it warns of recompilations after that.

    Args:
        regions (Sequence[str], optional): Names of the classes to compile.
            Defaults to None: blocks of ViTs and decoders (``Block``,
            ``TransformerEncoderLayer``), of ResNets (``BasicBlock``,
            ``Bottleneck``), Swin and ConvNeXt.
        backend (str): Backend of ``torch.compile``. Defaults to ``'inductor'``.
        mode (str, optional): Mode of inductor. Defaults to None.
        teachers (bool, optional): Whether to compile a teacher's blocks too. Defaults to None:
            on a GPU only, because a CPU takes seconds for each graph.

    Raises:
        UserError: If this machine cannot compile, the model has no such block, or
            its parameters are sharded.
        ValueError: For an unknown backend or mode.
    """

    priority = 'VERY_LOW'  # after weights are loaded

    def __init__(
        self,
        regions: Optional[Sequence[str]] = None,
        backend: str = 'inductor',
        mode: Optional[str] = None,
        teachers: Optional[bool] = None,
    ) -> None:
        backends = torch.compiler.list_backends(exclude_tags=())
        if backend not in backends:
            raise unknown(backend, backends, 'backend of torch.compile')
        modes = [*torch._inductor.list_mode_options()]
        if mode not in (None, *modes):
            raise unknown(mode, modes, 'mode of torch.compile')
        self.regions, self.mode, self.backend = tuple(regions or REGIONS), mode, backend
        self.teachers = teachers
        self.graphs: Optional[int] = None  # once the first epoch is over

    def before_train(self, runner) -> None:
        """Marks the blocks.

        Raises:
            UserError: If the model is sharded or has none of the blocks, or if torch cannot
                compile here.
        """
        if isinstance(runner.model, FSDP):
            raise UserError('--compile and mssl_plugins.FSDP do not go together: leave one out')
        model = unwrap(runner.model)
        on_cpu = all(p.device.type == 'cpu' for p in model.parameters())
        if on_cpu and self.backend == 'inductor':
            reason = why_not()
            if reason is not None:
                raise UserError(f'--compile: {reason}')
            spare_probes()
        teachers = not on_cpu if self.teachers is None else self.teachers
        count = compile_blocks(model, self.regions, self.backend, self.mode, teachers)
        if not count:
            raise UserError(
                f'--compile: the model has none of the blocks {", ".join(self.regions)}; name '
                "its own by custom_hooks=[dict(type='mssl_plugins.CompileHook', regions=[...])]"
            )
        runner.logger.info(f'{count} blocks are compiled as they first run')

    def after_train_epoch(self, runner) -> None:
        """Says how many graphs the first epoch compiled, and warns if there are more now."""
        graphs, before = compiled_graphs(), self.graphs
        if before is None:
            runner.logger.info(f'{graphs} graphs compiled, {graph_breaks()} graph breaks')
        elif graphs > before:
            runner.logger.warning(
                f'{graphs - before} graphs were compiled in epoch {runner.epoch + 1}: shapes that '
                'change while training make --compile slow'
            )
        self.graphs = graphs

    def before_val(self, runner) -> None:
        """Lets validation run uncompiled: its sizes and its last batch differ."""
        torch.compiler.set_stance('force_eager')

    def after_val(self, runner) -> None:
        """Goes on compiled."""
        torch.compiler.set_stance('default')
