"""The teacher's EMA update inside the real runner."""

import pytest
import torch

from helpers.pairs import runner
from helpers.siamese import build
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.registry import HOOKS


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
