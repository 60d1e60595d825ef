"""Schedules as functions of progress, and inside the real runner."""

import math

import pytest

from helpers.pairs import runner
from helpers.siamese import build
from mssl_plugins.engine.hooks.schedule_hook import Schedule
from mssl_plugins.registry import HOOKS


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


def test_a_schedule_keeps_the_multipliers_of_parameter_groups(tmp_path):
    """0 stays 0, half of the decay is half of the schedule's; so it is after resuming."""
    schedule = dict(target='optimizer.weight_decay', start=0.1, end=0.1)
    hook = dict(type='mssl_plugins.ScheduleHook', schedules=[schedule])
    keys = {'predictor': dict(decay_mult=0.5), 'backbone': dict(decay_mult=0.0)}
    wrapper = dict(
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.04),
        paramwise_cfg=dict(custom_keys=keys),
    )
    run = runner(tmp_path, build('BYOL').float(), [hook], optim_wrapper=wrapper)
    run.train()
    names = {id(p): name for name, p in run.model.named_parameters()}
    optimizer = run.optim_wrapper.optimizer
    for state in (optimizer.state_dict(), None):
        for group in optimizer.param_groups:
            name = names[id(group['params'][0])]
            half, none = 'predictor' in name, name.startswith('backbone')
            wanted = 0.05 if half else 0.0 if none else 0.1
            assert group['weight_decay'] == pytest.approx(wanted), name
        if state:  # as a checkpoint brings it back
            optimizer.load_state_dict(state)
            HOOKS.build(hook)._setter(run, schedule['target'])(0.1)


@pytest.mark.parametrize(
    'target, error', [('target_net.momentun', AttributeError), ('optimizer.weight_dekay', KeyError)]
)
def test_schedule_target_must_exist(tmp_path, target, error):
    hook = dict(type='mssl_plugins.ScheduleHook', schedules=[dict(target=target, start=0.0)])
    with pytest.raises(error, match=target.split('.')[1]):
        runner(tmp_path, build('BYOL').float(), [hook]).train()
