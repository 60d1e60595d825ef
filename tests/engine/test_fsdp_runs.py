"""Whole runs of the stock runner with cut parameters: checkpoints are those of one process."""

import shutil

import pytest
import torch

from helpers.forked import train_in_processes
from helpers.transformers import METHODS

if not hasattr(torch.distributed.fsdp, 'fully_shard'):
    pytest.skip('this torch has no fully_shard', allow_module_level=True)

RUN = """
default_scope = 'mmpretrain'
model = {model}
train_dataloader = dict(
    batch_size=8, num_workers=0, drop_last=True, collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(type='mssl_plugins.Scenes', length=16, size=16, pipeline=[
        dict(type='mssl_plugins.Views', views=[
            dict(size=16, num=2, scale=(0.5, 1.0)), dict(size=8, scale=(0.2, 0.5))]),
        dict(type='mssl_plugins.PackViews')]))
optim_wrapper = dict(
    type='OptimWrapper', clip_grad=dict(max_norm=5.0),
    optimizer=dict(type='AdamW', lr=0.01, weight_decay=.1, eps=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True,
                        convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4)
log_processor = dict(window_size=1)
evaluated = [
    dict(batch_size=4, num_workers=0, collate_fn=dict(type='default_collate'),
         dataset=dict(type='mssl_plugins.Scenes', length=length, size=16, pipeline=[
             dict(type='mssl_plugins.PackViews')]))
    for length in (15, 7)]  # other numbers of batches in each process
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=2),
    seed=dict(type='mssl_plugins.SeedHook'),
    guard=dict(type='mssl_plugins.LossGuard'),
    teacher=dict(type='mssl_plugins.TeacherHook'),
    clip=dict(type='mssl_plugins.ClipEachHook', max_norm=0.3),
    freeze=dict(type='mssl_plugins.FreezeHook', names='head.last_layer', length=1),
    knn=dict(type='mssl_plugins.KNNHook', bank=evaluated[0], test=evaluated[1], k=1, interval=2,
             begin=0),
    schedule=dict(type='mssl_plugins.ScheduleHook', schedules=[
        dict(target='teacher.momentum', start=0.5, end=1.0),
        dict(target='optimizer.weight_decay', start=0.04, end=0.4),
        dict(target='criterion.teacher_temp', start=0.04, end=0.07, curve='linear', length=3)]))
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
randomness = dict(seed=3)
"""
CUT = ['--cfg-options', 'model_wrapper_cfg.type=mssl_plugins.FSDP', 'train_dataloader.batch_size=4']


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A folder with a config and, as ``plain`` and ``cut``, its run in one and in two processes."""
    folder = tmp_path_factory.mktemp('runs')
    model = dict(METHODS['DINO'], type='mssl_plugins.DINO')
    (folder / 'run.py').write_text(RUN.format(model=model))
    for name, number, options in (('plain', 1, []), ('cut', 2, CUT)):
        ended = train_in_processes(
            folder, number, folder / 'run.py', '--work-dir', folder / name, *options
        )
        assert ended.status == 0, ended.text[-3000:]
        assert ('FSDP: 6 blocks' in ended.text) == (number == 2)
    return folder


def weights(path):
    """A checkpoint as every other command reads it."""
    kept = torch.load(path, weights_only=True)
    return kept['state_dict'], kept['optimizer']['state']


def equal(found, wanted, tolerance):
    (state, optimizer), (state2, optimizer2) = found, wanted
    assert list(state) == list(state2) and optimizer.keys() == optimizer2.keys()
    for key, value in state2.items():
        assert type(state[key]) is torch.Tensor
        torch.testing.assert_close(state[key], value, rtol=0, atol=tolerance, msg=key)
    for number, values in optimizer2.items():
        for key, value in values.items():
            torch.testing.assert_close(optimizer[number][key], value, rtol=0, atol=tolerance)


def test_two_processes_equal_one(runs):
    for epoch in (2, 4):
        equal(*(weights(runs / name / f'epoch_{epoch}.pth') for name in ('cut', 'plain')), 1e-5)
    first, last = (weights(runs / 'cut' / f'epoch_{epoch}.pth')[0] for epoch in (2, 4))
    moved = [key for key in first if not torch.equal(first[key], last[key])]
    assert len(moved) > 60 and any(key.startswith('teacher.') for key in moved)


def test_measures_are_those_of_one_process(runs):
    one, two = (
        torch.load(runs / name / 'epoch_4.pth', weights_only=True)['message_hub']['runtime_info']
        for name in ('plain', 'cut')
    )
    assert one['knn'].keys() == two['knn'].keys() and len(one['knn']) > 2
    for key, value in one['knn'].items():
        assert two['knn'][key] == pytest.approx(value, abs=1e-4), key


@pytest.mark.parametrize('source', ['cut', 'plain'])
@pytest.mark.parametrize('number', [1, 2])
def test_resumed_with_any_number_of_processes(runs, tmp_path, source, number):
    work = tmp_path / 'again'
    work.mkdir()
    shutil.copy(runs / source / 'epoch_2.pth', work)
    (work / 'last_checkpoint').write_text(str(work / 'epoch_2.pth'))
    options = ['--work-dir', work, '--resume', *(CUT if number == 2 else [])]
    ended = train_in_processes(tmp_path, number, runs / 'run.py', *options)
    assert ended.status == 0 and 'going on from' in ended.text, ended.text[-3000:]
    exact = (source == 'cut') == (number == 2)
    equal(
        weights(work / 'epoch_4.pth'), weights(runs / source / 'epoch_4.pth'), 0 if exact else 1e-5
    )


def test_a_start_from_weights_of_another_size(runs, tmp_path):
    """``--from``: position embeddings are resized, then cut."""
    options = ['--from', runs / 'plain/epoch_4.pth', *CUT, 'model.backbone.img_size=24']
    options += ['train_cfg.max_epochs=1', 'train_dataloader.dataset.pipeline.0.views.0.size=24']
    ended = train_in_processes(
        tmp_path, 2, runs / 'run.py', '--work-dir', tmp_path / 'more', *options
    )
    assert ended.status == 0, ended.text[-3000:]
    state, _ = weights(runs / 'plain/epoch_4.pth')
    assert state['backbone.pos_embed'].shape[1] == 17


@pytest.mark.parametrize('name', ['MST', 'ASL', 'MAE'])
def test_activation_checkpointing_and_bfloat16_by_config(runs, tmp_path, name):
    """The options together, in a method with a decoder; the loss is finite and moves."""
    views = [dict(size=16, num=1 if name != 'MST' else 2, scale=(0.5, 1.0))]
    text = RUN.format(model=dict(METHODS[name], type=f'mssl_plugins.{name}')) + (
        "for _name in ('schedule', 'freeze', 'knn'):\n    default_hooks.pop(_name)\n"
        f"train_dataloader['dataset']['pipeline'][0]['views'] = {views}\n"
    )
    (tmp_path / 'run.py').write_text(text)
    options = [*CUT, 'model_wrapper_cfg.bf16=True', 'model.backbone.activation_checkpointing=True']
    if name != 'MST':
        options += ['model.neck.activation_checkpointing=True']
    ended = train_in_processes(
        tmp_path, 2, tmp_path / 'run.py', '--work-dir', tmp_path / 'run', *options
    )
    assert ended.status == 0, ended.text[-3000:]
    first, last = (weights(tmp_path / f'run/epoch_{epoch}.pth')[0] for epoch in (2, 4))
    assert all(v.dtype != torch.bfloat16 and v.isfinite().all() for v in last.values())
    assert sum(not torch.equal(first[k], last[k]) for k in first) > 20


def test_wrong_options(runs, tmp_path):
    told = {
        'model_wrapper_cfg.blocks="[Blok]"': "no module of DINO is a Blok; did you mean 'Block'?",
        'model_wrapper_cfg.bf15=True': 'is no argument of mssl_plugins.FSDP',
        'model_wrapper_cfg.type=mssl_plugins.FSPD': 'is no registered',
        '--compile': 'do not go together',
    }
    for option, said in told.items():
        ended = train_in_processes(
            tmp_path, 2, runs / 'run.py', '--work-dir', tmp_path / 'run', *CUT, option
        )
        lines = [line for line in ended.text.splitlines() if line.startswith('error')]
        assert ended.status and lines and all(said in line for line in lines), ended.text[-2000:]
        assert ('model_wrapper_cfg' in lines[0]) == (option != '--compile')
        assert not (tmp_path / 'run').exists()
