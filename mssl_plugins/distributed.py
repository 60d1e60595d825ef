"""Process groups: opened where there is no GPU, rows shared out and gathered."""

import os
import subprocess

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor

from mssl_plugins.errors import UserError


def open_process_group(launcher: str) -> None:
    """Opens a gloo group where there is no GPU, before MMEngine looks.

    Args:
        launcher (str): ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        UserError: If the launcher's environment variables are missing.
    """
    dist = torch.distributed
    if torch.cuda.is_available() or dist.is_initialized():
        return
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
    dist.init_process_group('gloo')


def share(total: int) -> range:
    """Which of ``total`` items this process takes: consecutive ones, none taken twice."""
    rank, world = get_rank(), get_world_size()
    return range(total * rank // world, total * (rank + 1) // world)


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
