"""The Transformer methods on 2 processes instead of 1, and resumed instead of undisturbed.

BatchNorm apart, which here only MST could have.
"""

import shutil

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from helpers.forked import Training, server
from helpers.runs import losses as logged
from helpers.transformers import (
    EMA_TEACHERS,
    GLOBAL,
    METHODS,
    SINGLE,
    batch,
    build,
    config,
    one_mask,
)

STEPS = 3


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the phase-1 checkpoints lie."""
    path = tmp_path_factory.mktemp('phase1')
    for name in ('MaskGuidedDINO', 'MaskGuidedMAE'):
        torch.save(dict(state_dict=build(name, path).state_dict()), path / f'{name}.pth')
    return path


# --------------------------------------------------------------- 2 processes
def optimize(name, model, wrapped, rows):
    """Losses of a few steps; the teacher and the center are updated."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for step in range(STEPS):
        one_mask(model, step, rows)
        values = wrapped(*batch(name, step, rows), mode='loss')
        loss = sum(v for k, v in values.items() if 'loss' in k)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        teacher = getattr(model, 'teacher', None)
        if hasattr(teacher, 'update'):
            teacher.momentum = 0.9
            teacher.update()
        losses.append(loss.item())
    return losses


def worker(rank, folder, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{out}/init', rank=rank, world_size=2)
    rows, results = slice(rank * GLOBAL // 2, (rank + 1) * GLOBAL // 2), {}
    for name in METHODS:
        model = build(name, folder)
        wrapped = DistributedDataParallel(model, broadcast_buffers=False)
        mean = torch.tensor(optimize(name, model, wrapped, rows), dtype=torch.float64)
        dist.all_reduce(mean)
        results[name] = dict(losses=mean / 2, state=model.state_dict())
    if rank == 0:
        torch.save(results, out / 'results.pth')
    # First: DDP must not be the last to let go of the group, which joins its
    # threads and may wait for ever.
    del wrapped
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def both(folder, tmp_path_factory):
    """Every method on 2 processes; they start once for all."""
    out = tmp_path_factory.mktemp('both')
    server()
    mp.start_processes(worker, (folder, out), nprocs=2, start_method='forkserver')
    return torch.load(out / 'results.pth')


@pytest.mark.parametrize('name', METHODS)
def test_two_processes_equal_one(name, folder, both):
    single = build(name, folder)
    start = {k: v.clone() for k, v in single.state_dict().items()}
    expected = optimize(name, single, single, slice(None))
    assert both[name]['losses'].tolist() == pytest.approx(expected, abs=1e-9)
    state = single.state_dict()
    for key, value in state.items():
        assert torch.allclose(value.double(), both[name]['state'][key].double(), atol=1e-9), key
    moved = {k.split('.')[0] for k, v in state.items() if not torch.equal(v, start[k])}
    assert 'backbone' in moved and ('criterion' in moved) == ('teacher' in moved) == (
        name in EMA_TEACHERS
    )


# ------------------------------------------------------------------- resumed
RUN = """
default_scope = 'mmpretrain'
model = {model}
train_dataloader = dict(
    batch_size=8, num_workers=0, drop_last=True, collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(type='mssl_plugins.Scenes', length=16, size=16, segments=True, pipeline=[
        dict(type='mssl_plugins.Views', views={views}),
        dict(type='mssl_plugins.PackViews')]))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01, weight_decay=.1))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True,
                        convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4)
log_processor = dict(window_size=1)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=2),
    seed=dict(type='mssl_plugins.SeedHook'),
    guard=dict(type='mssl_plugins.LossGuard'),
    teacher=dict(type='mssl_plugins.TeacherHook'){hooks})
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
randomness = dict(seed=3)
"""
EMA = """
    , schedule=dict(type='mssl_plugins.ScheduleHook', schedules=[
        dict(target='teacher.momentum', start=0.5, end=1.0),
        dict(target='criterion.teacher_temp', start=0.04, end=0.07, curve='linear', length=3)])"""
FROZEN = ", bias=dict(type='mssl_plugins.FreezeHook', names='backbone.mask_bias', length=3)"


@pytest.mark.parametrize('name', METHODS)
def test_resumed_run_equals_the_undisturbed_one(name, folder, tmp_path):
    """From the checkpoint that a killed run leaves (test_train_resume.py kills some).

    Random masks, drop path, a schedule halfway and a bias that is still
    frozen go on where they were.
    """
    model = config(name, folder)
    model['backbone'] = dict(model['backbone'], drop_path_rate=0.2)
    views = (
        [dict(size=16, scale=(0.5, 1.0))]
        if name in SINGLE
        else [dict(size=16, num=2, scale=(0.5, 1.0)), dict(size=8, scale=(0.2, 0.5))]
    )
    hooks = (EMA if name in EMA_TEACHERS else '') + (
        FROZEN if name.startswith('MaskGuided') and 'teacher' not in model else ''
    )
    path = tmp_path / 'run.py'
    path.write_text(RUN.format(model=model, views=views, hooks=hooks))
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    ended = Training(tmp_path, path, '--work-dir', straight).wait()
    assert ended.status == 0, ended.text[-2000:]
    broken.mkdir()
    shutil.copy(straight / 'epoch_2.pth', broken)
    (broken / 'last_checkpoint').write_text(str(broken / 'epoch_2.pth'))
    ended = Training(tmp_path, path, '--work-dir', broken, '--resume').wait()
    assert ended.status == 0, ended.text[-2000:]
    wanted, found = logged(straight), logged(broken)
    assert sorted(wanted) == list(range(1, 9)) and sorted(found) == [5, 6, 7, 8]
    assert found == {step: wanted[step] for step in found}
    assert len({loss for values in wanted.values() for loss in values}) > 4  # it moves
    ends = [
        torch.load(place / 'epoch_4.pth', weights_only=True)['state_dict']
        for place in (straight, broken)
    ]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())
    kinds = {key.split('.')[0] for key in ends[0]}
    assert ('criterion' in kinds) == (name in EMA_TEACHERS)
