"""Two processes equal one process on the same global batch (bases without BN)."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from helpers.siamese import BASES, build, views

STEPS, GLOBAL = 3, 8


def optimize(model, wrapped, batches):
    """Losses of a few steps, teacher included."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for batch in batches:
        loss = wrapped(batch, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name in ('encoder_k', 'target_net'):
            if hasattr(model, name):
                getattr(model, name).momentum = 0.9
                getattr(model, name).update()
        losses.append(loss.item())
    return losses


def global_batches():
    return [views(GLOBAL, seed=s) for s in range(STEPS)]


def worker(rank, base, init, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=init, rank=rank, world_size=2)
    model = build(base)
    half = slice(rank * GLOBAL // 2, (rank + 1) * GLOBAL // 2)
    batches = [[v[half] for v in pair] for pair in global_batches()]
    losses = optimize(model, DistributedDataParallel(model, broadcast_buffers=False), batches)
    mean = torch.tensor(losses, dtype=torch.float64)
    dist.all_reduce(mean)
    if rank == 0:
        torch.save(dict(losses=mean / 2, state=model.state_dict()), out)
    dist.destroy_process_group()


@pytest.mark.parametrize('base', BASES)
def test_two_processes_equal_one(base, tmp_path):
    single = build(base)
    losses = optimize(single, single, global_batches())
    mp.spawn(worker, args=(base, f'file://{tmp_path}/init', tmp_path / 'out.pth'), nprocs=2)
    both = torch.load(tmp_path / 'out.pth')
    assert both['losses'].tolist() == pytest.approx(losses, abs=1e-9)
    for key, value in single.state_dict().items():
        assert torch.allclose(value.double(), both['state'][key].double(), atol=1e-9), key
