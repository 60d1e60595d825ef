"""MaskCo in two processes, and resumed instead of undisturbed."""

import json

import pytest
import torch
from torch import nn

from helpers.forked import server
from helpers.maskco import (
    batch,
    build,
    perturb_teacher,
)


def halves(step):
    return [batch(3, seed=10 * step + rank) for rank in range(2)]


def two_steps(model, losses):
    """Two optimizer steps on ``losses(step)``, teacher included; their values."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    values = []
    for step in range(2):
        loss = losses(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.encoder_k.momentum = 0.9
        model.encoder_k.update()
        values.append(loss.item())
    return values


def worker(rank, init, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=init, rank=rank, world_size=2)
    model = perturb_teacher(build(intra=True).double())
    torch.manual_seed(rank)  # processes draw differently, the shuffle is shared all the same
    wrapped = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    values = torch.tensor(
        two_steps(model, lambda step: wrapped(*halves(step)[rank], mode='loss')['loss']),  # noqa: F821
        dtype=torch.float64,
    )
    torch.distributed.all_reduce(values)
    if rank == 0:
        torch.save(dict(values=values / 2, state=model.state_dict()), out)
    # First: DDP must not be the last to let go of the group, which joins its
    # threads and may wait for ever.
    del wrapped
    torch.distributed.destroy_process_group()


def test_two_processes_equal_the_mean_of_two_batches(tmp_path):
    """Negatives are those of a process, and shuffled keys find their boxes again."""
    single = perturb_teacher(build(intra=True).double())
    values = two_steps(single, lambda step: sum(single.loss(*h)['loss'] for h in halves(step)) / 2)
    server()
    torch.multiprocessing.start_processes(
        worker,
        args=(f'file://{tmp_path}/init', tmp_path / 'out.pth'),
        nprocs=2,
        start_method='forkserver',
    )
    both = torch.load(tmp_path / 'out.pth')
    assert both['values'].tolist() == pytest.approx(values, abs=1e-9)
    for key, value in single.state_dict().items():
        assert torch.allclose(value.double(), both['state'][key].double(), atol=1e-9), key


MASKCO = """
    model = dict(type='mssl_plugins.MaskCo', fill='noise', intra=True, momentum=0.9,
                 neck=dict(type='mssl_plugins.MPH', in_channels=32, hidden_channels=16,
                           num_heads=2),
                 head=dict(type='mssl_plugins.RoIHead', in_channels=32, hid_channels=16,
                           out_channels=8),
                 backbone=dict(model['backbone'], strides=(1, 1, 1, 1)),
                 data_preprocessor=model['data_preprocessor'])
    train_dataloader['dataset']['pipeline'][1:] = [
        dict(type='mssl_plugins.MaskCoViews', views=[dict(num=2, size=32)], stride=4),
        dict(type='mssl_plugins.PackViews', keys=('masked_box', 'key_boxes'))]
    default_hooks['checkpoint']['max_keep_ckpts'] = -1
"""


def test_resumed_run_gives_the_losses_of_the_undisturbed_one(tmp_path, tiny_config, train):
    config = tiny_config(MASKCO)
    runs = []
    for name, extra in (
        ('whole', []),
        ('resumed', ['--resume', tmp_path / 'whole' / 'epoch_2.pth']),
    ):
        ended = train(config, '--work-dir', tmp_path / name, *extra)
        assert ended.status == 0, ended.text[-2000:]
        (log,) = (tmp_path / name).rglob('scalars.json')
        lines = map(json.loads, log.read_text().splitlines())
        runs.append({line['step']: line['loss'] for line in lines if 'loss' in line})
    whole, resumed = runs
    assert sorted(whole) == list(range(1, 13)) and sorted(resumed) == list(range(7, 13))
    assert resumed == {step: whole[step] for step in resumed}
    assert len(set(whole.values())) == 12
