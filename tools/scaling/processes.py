"""Bytes that each process sends in a step: computed from the parameters, and measured.

Measured are two processes over gloo, alone in a network namespace, whose loopback
device counts every byte.  That needs root on Linux.
"""

import ctypes
import fcntl
import os
import socket
import statistics
import struct
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from benchmark import timed
from benchmarks import transformers
from benchmarks.steps import SIZES, Step, siamese_step, vit_step
from mssl_plugins.engine.ddp import CPUDistributedDataParallel
from mssl_plugins.engine.fsdp import FSDP, find_blocks
from mssl_plugins.errors import UserError

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
SET_FLAGS, UP = 0x8914, 0x1 | 0x8 | 0x40  # SIOCSIFFLAGS; up, loopback, running


class Traffic(NamedTuple):
    """Bytes that a process sends in a step, of n processes in a ring."""

    gradients: float
    weights: float  # gathered by FSDP
    others: float  # keys, images of shuffled BatchNorm, centers

    @property
    def total(self) -> float:
        """The sum."""
        return sum(self)


def size(parameters) -> int:
    """Bytes of all parameters."""
    return sum(p.numel() * p.element_size() for p in parameters)


def others(model: nn.Module, batch: int, px: int) -> Tuple[float, float]:
    """Bytes of a method's own: (gathered from each process, summed over processes)."""
    gathered = summed = 0.0
    if hasattr(model, 'queue'):
        dim = model.queue.shape[0]
        gathered += 4 * batch * 2 * dim  # keys as they are shuffled back, and into the queue
        if model.shuffle_bn:
            gathered += 4 * batch * 3 * px * px
    criteria = (getattr(model, name, None) for name in ('criterion', 'patch_criterion'))
    for criterion in criteria:
        if hasattr(criterion, 'center'):
            summed += 4 * criterion.center.numel()
    return gathered, summed


def computed(
    model: nn.Module,
    wrapper: str,
    processes: int,
    batch: int,
    px: int,
    passes: int = 1,
    gloo: bool = False,
) -> Traffic:
    """What each process sends, from sizes alone.

    Args:
        model (nn.Module): Whole.
        wrapper (str): 'DDP' or 'FSDP'.
        processes (int): n.
        batch (int): Images a process.
        px (int): Side of a view.
        passes (int): How often a step runs the student, once for each size of views.
            Defaults to 1.
        gloo (bool): Whether gradients of FSDP are summed over gloo, which sends as much
            for that as for DDP's. Defaults to False.
    """
    n, part = processes, (processes - 1) / processes
    trained = [p for p in model.parameters() if p.requires_grad]
    gathered, summed = others(model, batch, px)
    own = (n - 1) * gathered + 2 * part * summed
    if wrapper == 'DDP':
        return Traffic(2 * part * size(trained), 0.0, own)
    inside = {p for block in find_blocks(model) for p in block.parameters()}
    blocks = size(p for p in trained if p in inside)
    frozen = size(p for p in model.parameters() if not p.requires_grad)
    # blocks are gathered for each pass forward and again backward, the rest once
    weights = part * (2 * passes * blocks + size(trained) - blocks + frozen)
    return Traffic(part * size(trained) * passes * (1 + gloo), weights, own)


class Case(NamedTuple):
    """A row of the table."""

    what: str
    step: Step
    wrapper: str
    px: List[int]


def cases() -> List[Case]:
    """What is measured: small networks, whole steps."""
    mae = vit_step('MAE', 'deit-small', [96], 8)
    dino = vit_step('DINO', 'deit-small', [64, 64], 2)
    moco = siamese_step('moco', SIZES['cpu']._replace(pair=(64, 32)))
    return [
        *(Case(mae.what, mae, wrapper, [96]) for wrapper in ('DDP', 'FSDP')),
        *(Case(dino.what, dino, wrapper, [64, 64]) for wrapper in ('DDP', 'FSDP')),
        Case(moco.what, moco, 'DDP', [64, 64]),
    ]


def private_loopback() -> None:
    """Moves this process, and those it starts, to a network of their own.

    Raises:
        UserError: If the system does not allow it.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, 'unshare') or library.unshare(NEW_NETWORK):
        raise UserError('bytes are counted in a network namespace, which needs root on Linux')
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack('16sh14x', b'lo', UP))
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'


def sent() -> int:
    """Bytes through the loopback device so far."""
    rows = Path('/proc/net/dev').read_text().splitlines()
    return next(int(r.split(':')[1].split()[8]) for r in rows if r.strip().startswith('lo:'))


def runner(case: Case, wrapper: Optional[str]) -> Callable[[], None]:
    """A call that makes a step as MMEngine's runner does."""
    model = case.step.build()
    model.init_weights()
    model.train()
    views = transformers.images(case.px, case.step.batch)
    data = dict(inputs=views if len(views) > 1 else views[0], data_samples=[None] * case.step.batch)
    teacher = getattr(model, 'teacher', None) or getattr(model, 'encoder_k', None)
    whole = dict(DDP=CPUDistributedDataParallel, FSDP=FSDP).get(wrapper, lambda module: module)(
        model
    )
    if wrapper == 'FSDP' and teacher is not None:
        teacher.sync()
    trained = [p for p in whole.parameters() if p.requires_grad]
    optimizer = OptimWrapper(torch.optim.AdamW(trained, lr=1e-5, fused=True))

    def call():
        whole.train_step(data, optimizer)
        if teacher is not None:
            teacher.update()

    return call


def median_time(call: Callable[[], None], steps: int) -> float:
    """Median of the seconds of so many calls."""
    return statistics.median(timed(call) for _ in range(steps))


def process(rank: int, number: int, steps: int, folder: str) -> None:
    """One of two processes; the first writes bytes of both and seconds of each step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = cases()[number]
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2
    )
    call = runner(case, case.wrapper)
    call(), call()  # DDP makes its buckets anew after the first
    torch.distributed.barrier()
    before = sent()
    seconds = median_time(call, steps)
    torch.distributed.barrier()
    if rank == 0:
        measured = (sent() - before) / steps / 2
        Path(folder, 'seen').write_text(f'{measured} {seconds}')
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def alone(number: int, steps: int) -> float:
    """Seconds of a step in one process."""
    call = runner(cases()[number], None)
    call()
    return median_time(call, steps)


def pair(number: int, steps: int) -> Tuple[float, float]:
    """(bytes, seconds) of a step in each of two processes."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(
            process, (number, steps, folder), nprocs=2, start_method='fork'
        )
        measured, seconds = map(float, Path(folder, 'seen').read_text().split())
    return measured, seconds


def measure(rounds: int, chosen: Optional[List[int]] = None) -> List[Dict]:
    """A row for each case, or for those of these numbers."""
    private_loopback()
    rows = []
    for number, case in enumerate(cases()):
        if chosen is not None and number not in chosen:
            continue
        model = case.step.build()
        expected = computed(model, case.wrapper, 2, case.step.batch, case.px[0], gloo=True)
        measured, seconds = pair(number, rounds)  # before this process computes: it forks
        rows.append(
            dict(
                what=case.what,
                wrapper=case.wrapper,
                computed=expected.total,
                measured=measured,
                alone=alone(number, rounds),
                seconds=seconds,
            )
        )
    return rows
