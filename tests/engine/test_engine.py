"""Hooks and wrappers inside the real runner."""

import math
import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from helpers.siamese import build, views
from mssl_plugins.engine.hooks.schedule_hook import Schedule
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.registry import HOOKS, OPTIM_WRAPPERS


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        pair = views(24, seed=0)
        return dict(inputs=[pair[0][i].float(), pair[1][i].float()], data_samples=i)


def runner(tmp_path, model, hooks, epochs=2, batch=4, optim_wrapper=None, name='run'):
    optim_wrapper = optim_wrapper or dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.04))
    return Runner(
        model=model,
        work_dir=str(tmp_path / name),
        experiment_name=f'{tmp_path.name}{name}',
        train_dataloader=DataLoader(Pairs(), batch_size=batch),
        optim_wrapper=optim_wrapper,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=hooks,
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmpretrain',
    )


@pytest.mark.parametrize('accumulate, moves', [(1, 12), (3, 4), (5, 3)])
def test_teacher_moves_once_an_optimiser_step(tmp_path, accumulate, moves):
    model = build('BYOL').float()
    model.target_net.steps.zero_()
    run = runner(
        tmp_path,
        model,
        [dict(type='mssl_plugins.TeacherHook')],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=accumulate),
    )
    run.train()
    assert int(model.target_net.steps) == moves  # 12 iterations; the last always steps


def test_teacher_starts_from_the_initialized_student(tmp_path):
    model = build('MoCo').float()
    model.encoder_k.steps.zero_()
    torch.nn.init.normal_(model.backbone.conv.weight)  # as init_weights would, after construction
    expected = model.backbone.conv.weight.clone()
    HOOKS.build(dict(type='mssl_plugins.TeacherHook')).before_train(
        type('R', (), dict(model=model))
    )
    assert torch.equal(model.encoder_k.module[0].conv.weight, expected)


def test_teacher_rejects_the_other_convention():
    with pytest.raises(ValueError, match='not 1 - m'):
        MomentumTeacher(torch.nn.Linear(1, 1), momentum=1.004)


def test_schedule_is_a_function_of_progress():
    cosine = Schedule('x', 0.996, 1.0)
    for i in range(0, 60, 7):
        expected = 1.0 + 0.5 * (0.996 - 1.0) * (1 + math.cos(math.pi * i / 60))
        assert cosine.value(i, 10, 60) == pytest.approx(expected, abs=1e-12)
    warm = Schedule('x', 0.04, 0.07, curve='linear', length=3, per_epoch=True)
    assert [round(warm.value(i, 10, 60), 4) for i in (0, 9, 10, 25, 30, 59)] == [
        0.04,
        0.04,
        0.05,
        0.06,
        0.07,
        0.07,
    ]
    step = Schedule('x', 1, 0, curve='step', begin=0, length=1)
    assert [step.value(i, 10, 60) for i in (0, 9, 10, 59)] == [1, 1, 0, 0]
    later = Schedule('x', 0.0, 1.0, curve='linear', begin=10, length=20, by_epoch=False)
    assert [later.value(i, 10, 60) for i in (0, 10, 20, 30, 40)] == [0, 0, 0.5, 1, 1]
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        Schedule('x', 0, curve='cosin')


def test_schedule_hook_sets_model_and_optimizer(tmp_path):
    seen = []
    model = build('BYOL').float()
    hook = HOOKS.build(
        dict(
            type='mssl_plugins.ScheduleHook',
            schedules=[
                dict(target='target_net.momentum', start=0.9, end=1.0),
                dict(target='optimizer.weight_decay', start=0.04, end=0.4),
            ],
        )
    )

    class Watch(type(hook).__mro__[1]):
        priority = 'LOWEST'

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seen.append(
                (
                    model.target_net.momentum,
                    runner.optim_wrapper.optimizer.param_groups[0]['weight_decay'],
                )
            )

    runner(tmp_path, model, [hook, Watch()]).train()
    for i, (m, wd) in enumerate(seen):
        t = (1 - math.cos(math.pi * i / 12)) / 2
        assert m == pytest.approx(0.9 + 0.1 * t)
        assert wd == pytest.approx(0.04 + 0.36 * t)


@pytest.mark.parametrize(
    'target, error', [('target_net.momentun', AttributeError), ('optimizer.weight_dekay', KeyError)]
)
def test_schedule_target_must_exist(tmp_path, target, error):
    hook = dict(type='mssl_plugins.ScheduleHook', schedules=[dict(target=target, start=0.0)])
    with pytest.raises(error, match=target.split('.')[1]):
        runner(tmp_path, build('BYOL').float(), [hook]).train()


def test_bf16_on_the_cpu():
    model = torch.nn.Linear(4, 4)
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='mssl_plugins.BF16OptimWrapper',
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        )
    )
    assert isinstance(wrapper, OptimWrapper)
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 4))
        assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32


@pytest.mark.parametrize(
    'given, dtype, said',
    [
        (dict(computes=True), torch.bfloat16, ''),
        (dict(computes=True, insist=True), torch.bfloat16, ''),
        (dict(computes=False), torch.float32, r'float32: .* would emulate it'),
        (dict(computes=False, insist=True), torch.bfloat16, r'by --amp, although .* emulates'),
    ],
)
def test_float32_where_bf16_is_only_emulated(capsys, given, dtype, said):
    model = torch.nn.Linear(2, 2)
    logger = MMLogger.get_instance(f'emulation of {given}')
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type='mssl_plugins.BF16OptimWrapper',
            device_type='cpu',
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            **given,
        )
    )
    with wrapper.optim_context(model):
        assert model(torch.randn(1, 2)).dtype == dtype
    logger.handlers[0].flush()
    shown = ''.join(capsys.readouterr())
    assert re.search(said, shown) if said else 'bfloat16' not in shown


def test_losses_stay_float32_under_bf16():
    for base in ('MoCo', 'SimCLR', 'BYOL', 'SimSiam'):
        model = build(base, 'both').float()
        with torch.autocast('cpu', torch.bfloat16):
            losses = model.loss([v.float() for v in views()])
        assert all(v.dtype == torch.float32 for k, v in losses.items() if k.startswith('loss')), (
            base
        )
