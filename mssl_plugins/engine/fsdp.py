"""Parameters, gradients and optimizer state sharded over processes (FSDP2).

ZeRO stage 3 (arXiv 1910.02054) as torch's ``fully_shard`` does it: each process
keeps one part of every tensor, and gathers a block's weights while it computes
that block.
"""

from contextlib import ExitStack, contextmanager, nullcontext
from typing import ContextManager, Dict, Iterator, List, Sequence

import torch
from mmengine.dist import broadcast, get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed import fsdp

from mssl_plugins.distributed import cut_like, is_cut
from mssl_plugins.engine.ddp import without_sync_bn
from mssl_plugins.errors import ConfigError, UserError, nearest
from mssl_plugins.models.layers.precision import computes_bfloat16
from mssl_plugins.registry import MODEL_WRAPPERS

#: classes of blocks whose weights are gathered one block at a time
BLOCKS = ('TransformerEncoderLayer', 'WeightNormLinear', 'Bottleneck', 'BasicBlock')


def find_blocks(model: nn.Module, names: Sequence[str] = BLOCKS) -> List[nn.Module]:
    """The blocks whose weights are gathered one block at a time, inner ones first.

    A block whose weights are read without calling it (``open_blocks``) is left out.

    Args:
        model (nn.Module): Any.
        names (Sequence[str]): Names of their classes, or of bases of these.
            Defaults to BLOCKS, of which a model need not have all.

    Returns:
        list[nn.Module]: Parts of the model.

    Raises:
        ConfigError: If other names than BLOCKS are given, and one fits no module.
    """
    opened = {block for m in model.modules() for block in getattr(m, 'open_blocks', ())}
    kinds = {m: [k.__name__ for k in type(m).__mro__] for m in model.modules() if m is not model}
    for name in () if tuple(names) == BLOCKS else names:
        if not any(name in of for of in kinds.values()):
            known = {of[0] for of in kinds.values()}
            raise ConfigError(
                'model_wrapper_cfg.blocks',
                f'no module of {type(model).__name__} is a {name}{nearest(name, known)}',
                list(names),
            )
    return [m for m, of in kinds.items() if m not in opened and set(of) & set(names)][::-1]


@MODEL_WRAPPERS.register_module()
class FSDP(nn.Module):
    """Trains a sharded model, of which each process keeps a part, under MMEngine's stock runner.

    ``model_wrapper_cfg=dict(type='mssl_plugins.FSDP')`` is the whole setting,
    over gloo on CPUs as over NCCL on GPUs. A momentum teacher is sharded like
    its student. Checkpoints are those of one process: they are gathered when
    they are written and sharded when they are read, for any number of
    processes. Every process builds the whole model once before it is sharded.

    Args:
        module (nn.Module): The model, whole.
        blocks (Sequence[str]): Names of classes whose modules are gathered one
            at a time; what lies outside them is gathered for the whole step.
            Defaults to Transformer blocks, DINO's prototypes and residual
            blocks.
        bf16 (bool): Gather the weights of the blocks' layers as bfloat16 and run
            the forward pass under bfloat16 autocast. The kept weights, sums of
            gradients and optimizer state stay float32, as do norms, prototypes
            and what lies outside blocks. Defaults to False.

    Raises:
        UserError: If torch has no ``fully_shard``.
        ConfigError: If other ``blocks`` than the defaults are given, and no
            module of the model has one of these classes.

    Attributes:
        module (nn.Module): The sharded model; its state dict has its usual keys.
    """

    def __init__(
        self, module: nn.Module, blocks: Sequence[str] = BLOCKS, bf16: bool = False
    ) -> None:
        super().__init__()
        if not hasattr(fsdp, 'fully_shard'):
            raise UserError(
                f'mssl_plugins.FSDP needs torch 2.6 or newer, this is {torch.__version__}'
            )
        self.device = next(module.parameters()).device
        self.bf16 = bf16
        if bf16 and not computes_bfloat16(self.device.type):
            print_log('this processor only emulates bfloat16, far slower', 'current', 30)
        if self.device.type == 'cpu':
            module = without_sync_bn(module)
        module.to(memory_format=torch.contiguous_format)  # fully_shard takes no other
        self._initialize(module)
        self.module = module
        self._shard(find_blocks(module, blocks))

    @staticmethod
    def _initialize(module: nn.Module) -> None:
        """Draws the weights while they are whole; the runner's later call then draws none."""
        if not hasattr(module, 'init_weights'):
            return
        module.init_weights()
        for value in module.state_dict().values():
            broadcast(value)

        def drawn() -> None:
            # The runner is about to broadcast the first process's `state_dict`, but each
            # process must keep its own part: for this one call the dict is empty.
            def nothing(_, state, *rest) -> None:
                state.clear()
                handle.remove()

            handle = module.register_state_dict_post_hook(nothing)

        module.init_weights = drawn

    def _shard(self, blocks: Sequence[nn.Module]) -> None:
        mesh = torch.distributed.device_mesh.init_device_mesh(self.device.type, (get_world_size(),))
        name = type(self.module).__name__
        half = fsdp.MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        parts = []
        for block in blocks:
            for layer in block.children() if self.bf16 else ():
                if next(layer.parameters(), None) is not None and not _normalizes(layer):
                    parts.append(fsdp.fully_shard(layer, mesh=mesh, mp_policy=half))
            parts.append(fsdp.fully_shard(block, mesh=mesh))
        fsdp.fully_shard(self.module, mesh=mesh)
        type(self.module).__name__ = name  # reports and defaults know the method by it
        # Now, because otherwise whatever runs first would become the root.
        self.module._get_fsdp_state()._lazy_init()
        self.parts = parts
        mib = sum(p.to_local().numel() * p.element_size() for p in self.module.parameters()) / 2**20
        print_log(
            f'FSDP: {len(blocks)} blocks, {mib:.1f} MiB of weights in this process', 'current'
        )

    def forward(self, *args, **kwargs):
        """The model's own forward."""
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper: OptimWrapper) -> Dict[str, Tensor]:
        """One step: the batch's losses, their gradients, the optimizer.

        Args:
            data (dict): A batch of the data loader.
            optim_wrapper (OptimWrapper): The wrapper of this model's optimizer.

        Returns:
            Dict[str, Tensor]: Losses by name, for the log.
        """
        with optim_wrapper.optim_context(self), self._precision():
            data = self.module.data_preprocessor(data, True)
            losses = self.module._run_forward(data, mode='loss')
        loss, log = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return log

    def _precision(self) -> ContextManager:
        autocast = torch.autocast(self.device.type, torch.bfloat16)
        return autocast if self.bf16 else nullcontext()

    def val_step(self, data: dict) -> list:
        """The model's own."""
        return self.module.val_step(data)

    def test_step(self, data: dict) -> list:
        """The model's own."""
        return self.module.test_step(data)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A context in which every process has all weights; all processes must enter it.

        Within it any part of the model runs in any process without communication,
        under ``torch.no_grad()``.
        """
        for part in (self.module, *self.parts):
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            with self._precision():
                yield
        finally:
            for part in (self.module, *self.parts):
                part.reshard()
            for part in self.parts:
                part.set_reshard_after_forward(True, recurse=False)

    @contextmanager
    def gathered(self, *optimizers: torch.optim.Optimizer) -> Iterator[None]:
        """A context in which the first process's state dicts are whole.

        They are those of a single process. All processes must enter the context.

        Args:
            *optimizers (torch.optim.Optimizer): Optimizers whose state dicts are to
                be whole, too.
        """
        weights = _gather(self.module.state_dict())
        states = [_gather(optimizer.state_dict()) for optimizer in optimizers]
        with ExitStack() as stack:
            handle = self.module.register_state_dict_post_hook(
                lambda _, state, *rest: state.update(weights)
            )
            stack.callback(handle.remove)
            for optimizer, state in zip(optimizers, states):
                handle = optimizer.register_state_dict_post_hook(lambda *_, s=state: dict(s))
                stack.callback(handle.remove)
            yield


def _normalizes(layer: nn.Module) -> bool:
    """Whether a layer is or has a norm, which takes no bfloat16 weights with float32 inputs."""
    return any('Norm' in type(part).__name__ for part in layer.modules())


def _gather(value):
    """A tree of dicts and lists whose sharded tensors are whole in the first process's CPU memory.

    Other processes take part and get None in their place.
    """
    if is_cut(value):
        value = value.full_tensor()
        return value.cpu() if is_main_process() else None
    if isinstance(value, dict):
        return {key: _gather(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_gather(part) for part in value)
    return value


def _optimizers(runner) -> List[torch.optim.Optimizer]:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
    return [w.optimizer for w in wrappers]


def gathered(runner):
    """:meth:`FSDP.gathered` for a run's model and optimizers; other models need no context."""
    if isinstance(runner.model, FSDP):
        return runner.model.gathered(*_optimizers(runner))
    return nullcontext()


def cut_checkpoint(runner, checkpoint: dict) -> None:
    """Shards a checkpoint's weights and optimizer state like those of a run's model.

    Args:
        runner (Runner): The run. If its model is no :class:`FSDP`, the checkpoint
            stays as it is.
        checkpoint (dict): As one process wrote it; changed in place.
    """
    if not isinstance(runner.model, FSDP):
        return
    own = runner.model.module.state_dict()
    state = checkpoint.get('state_dict', checkpoint)
    for key in list(state):
        like = own.get(key[7:] if key.startswith('module.') else key)
        if isinstance(state[key], Tensor) and like is not None and like.shape == state[key].shape:
            state[key] = cut_like(like, state[key])
    kept = (checkpoint.get('optimizer') or {}).get('state') if 'state_dict' in checkpoint else None
    if runner._resume and kept is not None:
        (optimizer,) = _optimizers(runner)
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        for number, values in kept.items():
            like = parameters[number]
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == like.shape and value.dim():
                    values[name] = cut_like(like, value)
