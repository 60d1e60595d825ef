"""The Transformer methods on 2 processes instead of 1, and resumed instead of undisturbed.

BatchNorm apart, which here only MST could have.
"""

import shutil

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel

from helpers.forked import Training, server
from helpers.runs import losses as logged
from mssl_plugins.models.selfsup.ibot import IBOT
from mssl_plugins.models.selfsup.mae import MAE
from mssl_plugins.registry import MODELS

GLOBAL, STEPS, WIDTH = 8, 3, 16
PLAIN = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=32),
)
GUIDED = dict(PLAIN, mask_bias=dict(positive=True, negative=True))
HEAD = dict(
    type='mssl_plugins.DINOHead',
    in_channels=WIDTH,
    out_channels=12,
    hidden_channels=16,
    bottleneck_channels=8,
)
DECODER = dict(
    type='mssl_plugins.MAEDecoder',
    num_patches=16,
    patch_size=4,
    embed_dim=WIDTH,
    decoder_embed_dim=8,
    decoder_depth=1,
    decoder_num_heads=2,
)
PIXELS = dict(type='mssl_plugins.PixelDecoder', in_channels=WIDTH, patch_size=4, widths=(8, 6))
TEACHER = dict(backbone=dict(mask_bias=GUIDED['mask_bias']))
METHODS = dict(
    DINO=dict(backbone=PLAIN, head=HEAD),
    MST=dict(
        backbone=dict(PLAIN, mask_token=True), head=HEAD, neck=dict(PIXELS, use_bn=False), q=0.25
    ),
    IBOT=dict(backbone=dict(PLAIN, mask_token=True), head=HEAD),
    MaskGuidedDINO=dict(backbone=GUIDED, head=HEAD),
    MaskGuidedDINODistill=dict(
        backbone=PLAIN, head=HEAD, teacher=dict(TEACHER, checkpoint='{folder}/MaskGuidedDINO.pth')
    ),
    MAE=dict(backbone=PLAIN, neck=DECODER),
    ASL=dict(
        backbone=PLAIN,
        neck=DECODER,
        contrast=dict(gather=True),
        layer=dict(num_heads=2, drop_rate=0.0),
    ),  # dropout has a draw of its own in each process
    MaskGuidedMAE=dict(backbone=GUIDED, neck=DECODER, mask_unit=2),
    MaskGuidedMAEDistill=dict(
        backbone=PLAIN, teacher=dict(TEACHER, checkpoint='{folder}/MaskGuidedMAE.pth')
    ),
)
EMA_TEACHERS = ('DINO', 'IBOT', 'MST', 'MaskGuidedDINO')
SINGLE = tuple(name for name in METHODS if 'MAE' in name or name == 'ASL')  # one view


def config(name, folder):
    cfg = dict(METHODS[name], type=f'mssl_plugins.{name}')
    if 'teacher' in cfg:
        cfg['teacher'] = dict(
            cfg['teacher'], checkpoint=cfg['teacher']['checkpoint'].format(folder=folder)
        )
    return cfg


def build(name, folder):
    torch.manual_seed(0)
    model = MODELS.build(config(name, folder))
    model.init_weights()
    for key, p in model.named_parameters():
        if 'mask_bias' in key and p.requires_grad:  # a bias that matters
            p.data.normal_()
    return model.double()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the phase-1 checkpoints lie."""
    path = tmp_path_factory.mktemp('phase1')
    for name in ('MaskGuidedDINO', 'MaskGuidedMAE'):
        torch.save(dict(state_dict=build(name, path).state_dict()), path / f'{name}.pth')
    return path


# --------------------------------------------------------------- 2 processes
def batch(name, step, rows):
    """Views and samples of a step, of these rows of the global batch."""
    g = torch.Generator().manual_seed(step)
    sizes = [16] if name in SINGLE else [16, 16, 8]
    views = [torch.randn(GLOBAL, 3, s, s, generator=g, dtype=torch.float64)[rows] for s in sizes]
    maps = [torch.randint(0, 4, (GLOBAL, s, s), generator=g)[rows] for s in sizes]
    samples = []
    for i in range(len(maps[0])):
        samples.append(DataSample())
        samples[-1].set_field([m[i] for m in maps], 'view_segments')
    return views, samples


def optimize(name, model, wrapped, rows):
    """Losses of a few steps; the teacher moves and so does the center."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for step in range(STEPS):
        if isinstance(model, MAE):  # every process takes its rows of the one mask
            torch.manual_seed(step)
            kept, masked = MAE.sample_mask(model, torch.empty(GLOBAL, 0))
            model.sample_mask = lambda images, samples: (kept[rows], masked[rows])
        if isinstance(model, IBOT):
            whole = torch.rand(2, GLOBAL, 16, generator=torch.Generator().manual_seed(step)) < 0.3
            model.sample_mask = lambda views, teacher: whole[:, rows].flatten(0, 1)
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
