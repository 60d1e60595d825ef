"""Several processes: process groups without a GPU, work of the first alone, gathered rows."""

import os
import subprocess
import time
from datetime import timedelta
from functools import lru_cache
from typing import Callable, Optional

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor
from torch.distributed import PrefixStore, Store, rendezvous

from mssl_plugins.errors import Stopped, UserError


def name_process(launcher: str) -> None:
    """Sets torch's environment variables: this process's rank and the first one's address.

    Args:
        launcher (str): ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        UserError: If the launcher's environment variables are missing.
    """
    env = os.environ
    names = dict(
        pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
        mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    )[launcher]
    absent = [name for name in names[:2] if name not in env]
    if absent:
        how = dict(pytorch='torchrun --nproc_per_node N', slurm='srun', mpi='mpirun -n N')[launcher]
        raise UserError(
            f'--launcher {launcher} needs {absent[0]} in the environment: start it with `{how}`'
        )
    for ours, theirs in zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), names):
        env[ours] = env.get(theirs, '0')
    if 'MASTER_ADDR' not in env:
        env['MASTER_ADDR'] = (
            subprocess.getoutput(f'scontrol show hostname {env["SLURM_NODELIST"]} | head -n1')
            if 'SLURM_NODELIST' in env
            else '127.0.0.1'
        )
    env.setdefault('MASTER_PORT', '29500')


def open_process_group(launcher: str, timeout: Optional[float] = None) -> None:
    """Opens a gloo process group if there is no GPU, before MMEngine opens one.

    Args:
        launcher (str): See :func:`name_process`.
        timeout (float, optional): Seconds that a process waits for the others in a
            collective. Defaults to None: torch's half hour.

    Raises:
        UserError: If the launcher's environment variables are missing.
    """
    dist = torch.distributed
    if torch.cuda.is_available() or dist.is_initialized():
        return
    name_process(launcher)
    # torchrun's store may outlive a restart, with the addresses of the attempt before
    rank, size = (int(os.environ[name]) for name in ('RANK', 'WORLD_SIZE'))
    limit = None if timeout is None else timedelta(seconds=timeout)
    dist.init_process_group('gloo', store=shared_store(), rank=rank, world_size=size, timeout=limit)


def first_process() -> bool:
    """Whether this is the process that prints and writes for all."""
    return int(os.environ.get('RANK', 0)) == 0


@lru_cache(maxsize=None)  # if the launcher has no store, the first process serves this one
def shared_store() -> Store:
    """The launcher's store, with keys of this attempt of an elastic run only."""
    attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    return PrefixStore(f'mssl_plugins/{attempt}', next(rendezvous('env://'))[0])


def first_does(name: str, work: Callable[[], Optional[int]]) -> Optional[int]:
    """Runs a function in the first process only; the others wait until it is done.

    Works before any process group is open, through the launcher's store, and
    without a timeout.

    Args:
        name (str): Name of this work, the same in all processes and used once.
        work (Callable): What to do; returns an integer for all, or nothing.

    Returns:
        int, optional: What the work returned in the first process.

    Raises:
        Stopped: In the other processes, if the first one failed; only that
            one reports why.
    """
    if int(os.environ.get('WORLD_SIZE', 1)) == 1:
        return work()
    store = shared_store()
    if first_process():
        try:
            result = work()
        except BaseException:
            store.set(name, 'failed')
            raise
        store.set(name, 'done' if result is None else str(result))
        return result
    try:
        while not store.check([name]):
            time.sleep(0.1)
        said = store.get(name).decode()
    except RuntimeError:  # the first process is gone, and its store with it
        said = 'failed'
    if said == 'failed':
        raise Stopped('the first process failed', 1)
    return None if said == 'done' else int(said)


def rank_slice(total: int) -> range:
    """The consecutive indices, out of ``total``, that this process takes; none is taken twice."""
    rank, world = get_rank(), get_world_size()
    return range(total * rank // world, total * (rank + 1) // world)


def is_cut(tensor) -> bool:
    """Whether a tensor is sharded: each process keeps a part of it (``mssl_plugins.FSDP``)."""
    return hasattr(tensor, 'full_tensor')


def own_part(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor, sharing its memory; other tensors as they are."""
    return tensor.to_local() if is_cut(tensor) else tensor


def cut_like(own: Tensor, whole: Tensor) -> Tensor:
    """Shards a whole tensor like another one.

    Args:
        own (Tensor): Says how; if it is not sharded, nothing is done.
        whole (Tensor): Of the same shape, with the same values in every process.

    Returns:
        Tensor: Of ``own``'s type and on its device, if it is sharded.
    """
    if is_cut(whole) or not is_cut(own):
        return whole
    return torch.distributed.tensor.distribute_tensor(
        whole.to(own.device, own.dtype), own.device_mesh, own.placements, src_data_rank=None
    )


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenates the rows of all processes in the order of their ranks.

    Args:
        rows (Tensor): (n, ...); n may differ between processes.

    Returns:
        Tensor: (sum of n, ...), on every process.
    """
    if get_world_size() == 1:
        return rows
    sizes = torch.cat(all_gather(torch.tensor([len(rows)]))).tolist()
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    return torch.cat([x[:n] for x, n in zip(all_gather(padded), sizes)])


class GatherWithGradient(torch.autograd.Function):
    """Concatenate over processes; the backward pass sums their gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """All processes' rows, (n, ...) -> (world * n, ...)."""
        ctx.rows = len(x)
        return torch.cat(all_gather(x.contiguous()))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        """The sum of all processes' gradients of this process's rows."""
        grad = grad.contiguous()
        torch.distributed.all_reduce(grad)
        start = get_rank() * ctx.rows
        return grad[start : start + ctx.rows]
