"""Memory of each process that trains a model: python tools/model_memory.py --arch large huge.

Parameters, gradients, AdamW's two moments and the teacher are counted on tensors
without data.  What the forward pass keeps for the backward pass is counted in a
forward pass of such tensors, with and without activation checkpointing.  With several
processes the model is sharded by mssl_plugins.FSDP.  ``--measure`` trains two steps
of the first size in two CPU processes over gloo, and prints the memory that they take
beside the computed one.  Otherwise it prints rows of docs/scale.md.
"""

import argparse
import ctypes
import gc
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mssl_plugins.engine.fsdp import FSDP, find_blocks
from mssl_plugins.models.masking import random_keep
from mssl_plugins.registry import MODELS

GIB = 2**30
PATCHES = dict(huge=14)  # px; 16 for other sizes
HEAD = (
    '| model | images a process | processes | weights, gradients, AdamW | teacher | gathered '
    '| activations | with checkpointing | together |'
)
METHODS = ('DINO', 'MAE')
CROPS = ((224, 2), (96, 8))  # DINO's views: px, number
SMALL = ((224, 2), (96, 2))  # the views of --measure


class Kept(NamedTuple):
    """What a process holds, in bytes.

    Attributes:
        trained (int): Weights, gradients and AdamW's two moments.
        teacher (int): The teacher's weights.
        gathered (int): Whole weights and gradients of the blocks at work.
        activations (int): Activations without checkpointing.
        recomputed (int): Activations with checkpointing.
    """

    trained: int
    teacher: int
    gathered: int
    activations: int
    recomputed: int

    @property
    def together(self) -> int:
        """The sum, with activation checkpointing."""
        return self.trained + self.teacher + self.gathered + self.recomputed


def build(method: str, arch: str, recompute: bool = False) -> nn.Module:
    """DINO with its head of 65,536 prototypes, or MAE with its decoder of 8 blocks."""
    patch = PATCHES.get(arch, 16)
    vit = dict(type='mssl_plugins.ViT', arch=arch, img_size=224, patch_size=patch)
    vit['activation_checkpointing'] = recompute
    dim = MODELS.build(vit).embed_dims
    if method == 'DINO':
        head = dict(type='mssl_plugins.DINOHead', in_channels=dim)
        return MODELS.build(dict(type='mssl_plugins.DINO', backbone=vit, head=head))
    neck = dict(
        type='mssl_plugins.MAEDecoder',
        num_patches=(224 // patch) ** 2,
        patch_size=patch,
        embed_dim=dim,
        activation_checkpointing=recompute,
    )
    return MODELS.build(dict(type='mssl_plugins.MAE', backbone=vit, neck=neck))


def loss(model: nn.Module, batch: int, crops) -> Tensor:
    """The loss of random images, computed by the parts of the model that have gradients.

    Args:
        model (nn.Module): From :func:`build`.
        batch (int): Images of a process.
        crops (Sequence): (side in px, number) of each kind of DINO's views.

    Returns:
        Tensor: Scalar.
    """
    if hasattr(model, 'teacher'):
        sides = [-(-px // model.patch_size) * model.patch_size for px, _ in crops]  # 98 for 96
        views = [
            torch.randn(batch, 3, side, side)
            for side, (_, number) in zip(sides, crops)
            for _ in range(number)
        ]
        logits = model.student(views, [{}] * len(views), stat_views=2).logits  # (V, B, K)
        return model.criterion(logits, torch.randn(2, *logits.shape[1:]))
    images = torch.randn(batch, 3, 224, 224)
    count = model.grid[0] * model.grid[1]
    shown = random_keep(1, model.grid, model.mask_ratio)[0].shape[1]
    order = torch.arange(count).expand(batch, -1)
    keep, masked = order[:, :shown], order[:, shown:]
    return model.mse(
        model.neck(model.encode(images, keep, None), keep, masked), model.target(images, masked)
    )


def kept_activations(method: str, arch: str, batch: int, amp: bool, recompute: bool, crops) -> int:
    """Bytes that the forward pass keeps for the backward pass; arguments as for the others."""
    model = build(method, arch, recompute)
    own = {id(p.untyped_storage()) for p in model.parameters()}
    kept: Dict[int, Tuple[object, int]] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if id(storage) not in own:
            kept[id(storage)] = (storage, storage.nbytes())  # held, so that its id stays its own
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        with torch.autocast('cpu', torch.bfloat16, enabled=amp):
            loss(model, batch, crops)
    return sum(size for _, size in kept.values())


def share(parameter: Tensor, processes: int) -> int:
    """Bytes of the first process's part, the largest; tensors are sharded along the first axis."""
    rows = -(-parameter.shape[0] // processes)
    return rows * (parameter.numel() // parameter.shape[0]) * parameter.element_size()


@lru_cache(maxsize=None)
def described(method: str, arch: str, batch: int, amp: bool, crops) -> Tuple[nn.Module, int, int]:
    """A model without data, and the bytes of its activations without and with checkpointing."""
    with FakeTensorMode():
        full, less = (
            kept_activations(method, arch, batch, amp, recompute, crops)
            for recompute in (False, True)
        )
        model = build(method, arch)
    student = [b for b in find_blocks(model) if next(b.parameters()).requires_grad]
    # One block at a time is computed again.
    return model, full, less + (full - less) // len(student)


def count(method: str, arch: str, batch: int, processes: int, amp: bool, crops=CROPS) -> Kept:
    """What each process holds at most.

    Args:
        method (str): 'DINO' or 'MAE'.
        arch (str): ``arch`` of ``mssl_plugins.ViT``.
        batch (int): Images of a process.
        processes (int): Number of processes; from 2 on the model is sharded.
        amp (bool): Whether the forward pass runs under bfloat16 autocast.
        crops (Sequence): See :func:`loss`. Defaults to CROPS.

    Returns:
        Kept: In bytes.
    """
    model, full, again = described(method, arch, batch, amp, crops)
    teacher = set(getattr(model, 'teacher', nn.Module()).parameters())
    trained = gathered = 0
    for parameter in model.parameters():
        copies = 0 if parameter in teacher else 4 if parameter.requires_grad else 1
        trained += share(parameter, processes) * copies
    if processes > 1:
        blocks = find_blocks(model)
        inside = {p for block in blocks for p in block.parameters()}
        rest = [p for p in model.parameters() if p not in inside]
        largest = max(sum(map(share1, block.parameters())) for block in blocks)
        # Weights of two blocks, because the next one is gathered in advance, and gradients of one.
        gathered = sum(share1(p) * (1 + p.requires_grad) for p in rest) + 3 * largest
    own = sum(share(p, processes) for p in teacher)
    return Kept(trained, own, gathered, full, again)


def share1(parameter: Tensor) -> int:
    """Bytes of a whole parameter."""
    return share(parameter, 1)


def row(method: str, arch: str, batch: int, processes: int, amp: bool) -> str:
    """One row of the table."""
    kept = count(method, arch, batch, processes, amp)
    name = f'{method}, ViT-{arch[0].upper()}/{PATCHES.get(arch, 16)}'
    cells = [name, f'{batch}', f'{processes}', *(f'{x / GIB:.2f}' for x in (*kept, kept.together))]
    return '| ' + ' | '.join(cells) + ' |'


# -------------------------------------------------------------------- measured
def resident(field: str = 'VmRSS') -> int:
    """Resident memory of this process in bytes; with 'VmHWM' its peak."""
    with open('/proc/self/status') as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))


def settle() -> None:
    """Gives free memory back and forgets the peak."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
    Path('/proc/self/clear_refs').write_text('5')


class Step(nn.Module):
    """A model whose forward is one batch's loss, so that FSDP sees a whole step."""

    def __init__(self, model: nn.Module, batch: int) -> None:
        super().__init__()
        self.model, self.batch = model, batch

    def forward(self) -> Tensor:
        """The student's loss; the teacher sees its views first."""
        if hasattr(self.model, 'teacher'):
            views = [torch.randn(self.batch, 3, 224, 224) for _ in range(2)]
            self.model.teacher(views, [{}] * 2, stat_views=2)
        return loss(self.model, self.batch, SMALL)


def process(rank: int, method: str, arch: str, batch: int, folder: str) -> None:
    """One of two processes that train two steps; the first writes the memory that it took."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2
    )
    settle()
    before = resident()
    wrapped = FSDP(Step(build(method, arch), batch))
    teacher = getattr(wrapped.module.model, 'teacher', None)
    if teacher is not None:
        teacher.sync()
    optimizer = torch.optim.AdamW(
        [p for p in wrapped.parameters() if p.requires_grad], lr=1e-4, fused=True
    )
    for step in range(2):
        settle()
        wrapped().backward()
        optimizer.step()
        if teacher is not None:
            teacher.update()
    peak = resident('VmHWM') - before
    settle()
    if rank == 0:  # gradients are still there
        Path(folder, 'seen').write_text(f'{resident() - before} {peak}')
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def measure(method: str, arch: str, batch: int) -> str:
    """The memory that two processes take, beside the computed one, as a sentence."""
    kept = count(method, arch, batch, 2, False, SMALL)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(
            process, (method, arch, batch, folder), nprocs=2, start_method='fork'
        )
        seen, peak = map(int, Path(folder, 'seen').read_text().split())
    rest = kept.trained + kept.teacher
    whole = rest + kept.gathered + kept.activations
    return (
        f'{method}, ViT-{arch[0].upper()}, {batch} images in each of 2 processes: kept between '
        f'steps {rest / GIB:.2f} GiB computed, {seen / GIB:.2f} measured; at the peak '
        f'{whole / GIB:.2f} computed, {peak / GIB:.2f} measured'
    )


def main(argv: List[str] = None) -> None:
    """Parses the command line, measures or counts, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', nargs='+', default=['large', 'huge'], help='of mssl_plugins.ViT')
    parser.add_argument('--methods', nargs='+', default=METHODS, choices=METHODS)
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 8, 64])
    parser.add_argument('--batch', type=int, default=32, help='images a process')
    parser.add_argument('--amp', action='store_true', help='activations under bfloat16')
    parser.add_argument('--measure', action='store_true', help='beside a step in two processes')
    args = parser.parse_args(argv)
    if min(args.batch, *args.processes) < 1:
        parser.error('--batch and --processes must be 1 or more')
    if args.measure:
        print(measure(args.methods[0], args.arch[0], args.batch))
        return
    print(HEAD)
    print('| --- |' + ' --- |' * (HEAD.count('|') - 2))
    for method in args.methods:
        for arch in args.arch:
            for processes in args.processes:
                print(row(method, arch, args.batch, processes, args.amp), flush=True)


if __name__ == '__main__':
    main()
