"""Two processes equal one process on the same global batch (bases without BN)."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from helpers.forked import server
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


def worker(rank, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{out}/init', rank=rank, world_size=2)
    half, results = slice(rank * GLOBAL // 2, (rank + 1) * GLOBAL // 2), {}
    batches = [[v[half] for v in pair] for pair in global_batches()]
    for base in BASES:
        model = build(base)
        wrapped = DistributedDataParallel(model, broadcast_buffers=False)
        mean = torch.tensor(optimize(model, wrapped, batches), dtype=torch.float64)
        dist.all_reduce(mean)
        results[base] = dict(losses=mean / 2, state=model.state_dict())
    if rank == 0:
        torch.save(results, out / 'results.pth')
    # First: DDP must not be the last to let go of the group, which joins its
    # threads and may wait for ever.
    del wrapped
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """Every base on 2 processes; they start once for all."""
    out = tmp_path_factory.mktemp('both')
    server()
    mp.start_processes(worker, (out,), nprocs=2, start_method='forkserver')
    return torch.load(out / 'results.pth')


@pytest.mark.parametrize('base', BASES)
def test_two_processes_equal_one(base, both):
    single = build(base)
    losses = optimize(single, single, global_batches())
    assert both[base]['losses'].tolist() == pytest.approx(losses, abs=1e-9)
    for key, value in single.state_dict().items():
        assert torch.allclose(value.double(), both[base]['state'][key].double(), atol=1e-9), key
