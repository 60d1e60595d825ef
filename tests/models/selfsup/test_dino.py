"""DINO against formulas written out image by image in float64."""

import copy
import math

import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from helpers.dino import (
    HEAD,
    PLAIN_VIT,
    VIT,
    B,
    K,
    build,
    head_reference,
    loss_reference,
    move_teacher,
    statistics,
    views,
)
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.registry import HOOKS


@pytest.mark.parametrize('backbone', [VIT, PLAIN_VIT])
def test_loss_of_all_crops(backbone):
    model = build(backbone).double()
    move_teacher(model)
    model.criterion.center.copy_(torch.randn(K))
    center = model.criterion.center.clone()
    x = views()
    p, q = dict(model.named_parameters()), dict(model.teacher.module.named_parameters())
    student = [head_reference(model.backbone(v)[-1], p) for v in x]
    teacher = [head_reference(model.teacher.module.backbone(v)[-1], q) for v in x[:2]]
    expected = loss_reference(student, teacher, center, 0.1, 0.04)
    assert float(model.loss(x)['loss_dino']) == pytest.approx(float(expected), abs=1e-9)


def test_crops_of_a_size_share_a_pass_and_the_head_has_one():
    model, sizes, rows = build(), [], []
    model.backbone.patch_embed.register_forward_pre_hook(
        lambda m, args: sizes.append(tuple(args[0].shape))
    )
    model.head.register_forward_pre_hook(lambda m, args: rows.append(len(args[0])))
    model.loss([v.float() for v in views(local=3)])
    assert sizes == [(2 * B, 3, 16, 16), (3 * B, 3, 8, 8)]
    assert rows == [5 * B]


def test_drop_path_is_the_students():
    model = build(dict(VIT, drop_path_rate=0.5))
    rates = {
        net: [m.drop_prob for m in getattr(model, net).modules() if type(m).__name__ == 'DropPath']
        for net in ('backbone', 'teacher')
    }
    assert max(rates['backbone']) == 0.5 and rates['teacher'] and max(rates['teacher']) == 0
    x = torch.cat(views()[:2]).float()
    model.train()
    assert torch.equal(
        model.teacher([x], [{}], stat_views=1).logits, model.teacher([x], [{}], stat_views=1).logits
    )


RESNET = dict(
    type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4, norm_cfg=dict(type='BN')
)


def test_resnet_with_statistics_of_global_views():
    head = dict(HEAD, in_channels=32, use_bn=True)
    model = build(RESNET, head, bn_per_view=True).train()
    twin = copy.deepcopy(model)
    x = [v.float() for v in views(local=0)] + [torch.randn(B, 3, 8, 8) + 3 for _ in range(3)]
    model.loss(x)['loss_dino'].backward()
    twin.loss(x[:2])
    with_local, without = statistics(model), statistics(twin)
    assert any('backbone.bn1' in k for k in without) and any('head.mlp.1.' in k for k in without)
    for key in without:
        torch.testing.assert_close(with_local[key], without[key])  # the batch size rounds
    assert model.backbone.bn1.track_running_stats
    plain = build(RESNET, head).train()
    plain.loss(x)
    assert int(plain.backbone.bn1.num_batches_tracked) == 2  # a pass for each size


class Crops(Dataset):
    def __init__(self, n=4 * B):
        self.data = views(7, batch=n)

    def __len__(self):
        return len(self.data[0])

    def __getitem__(self, i):
        return dict(inputs=[v[i] for v in self.data], data_samples=i)


EPOCHS, LR, CLIP = 2, 0.01, 0.05
HOOKS_OF_DINO = [
    dict(type='mssl_plugins.TeacherHook'),
    dict(type='mssl_plugins.ClipEachHook', max_norm=CLIP),
    dict(type='mssl_plugins.FreezeHook', names='head.last_layer', length=1),
    dict(
        type='mssl_plugins.ScheduleHook',
        schedules=[
            dict(target='teacher.momentum', start=0.9, end=1.0),
            dict(
                target='criterion.teacher_temp',
                start=0.04,
                end=0.07,
                curve='linear',
                length=2,
                per_epoch=True,
            ),
            dict(target='optimizer.weight_decay', start=0.04, end=0.4),
        ],
    ),
]


def train(tmp_path, model, hooks=HOOKS_OF_DINO, name='run', **kwargs):
    optim_wrapper = dict(
        optimizer=dict(type='AdamW', lr=LR, weight_decay=0.04),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
        **kwargs,
    )
    Runner(
        model=model,
        work_dir=str(tmp_path / name),
        experiment_name=f'{tmp_path.name}{name}',
        train_dataloader=DataLoader(Crops(), batch_size=B),
        optim_wrapper=optim_wrapper,
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
        custom_hooks=copy.deepcopy(hooks),
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmpretrain',
    ).train()


def prepared():
    model = build(data_preprocessor=dict(mean=None, std=None)).double()
    model.data_preprocessor.normalize = lambda view: view  # keep float64
    move_teacher(model)
    model.teacher.steps += 1  # this is a teacher under way: it does not start over
    return model


def test_whole_steps_equal_the_reference(tmp_path):
    """Runner, hooks and AdamW against plain loops: 4 steps frozen, 4 free."""
    model = prepared()
    ref = copy.deepcopy(model)  # its backbone gives gradients, all else is written out
    train(tmp_path, model)

    data, n = Crops().data, 4
    p = {k: v for k, v in ref.named_parameters() if v.requires_grad}
    q = dict(ref.teacher.module.named_parameters())
    center, state, clipped = torch.zeros(K, dtype=torch.float64), {}, 0
    for i in range(EPOCHS * n):
        t = (1 - math.cos(math.pi * i / (EPOCHS * n))) / 2
        m, wd, temp = 0.9 + 0.1 * t, 0.04 + 0.36 * t, 0.04 + 0.03 * (i // n) / 2
        batch = [v[i % n * B : (i % n + 1) * B] for v in data]
        student = [head_reference(ref.backbone(v)[-1], p) for v in batch]
        with torch.no_grad():
            teacher = [head_reference(ref.teacher.module.backbone(v)[-1], q) for v in batch[:2]]
        loss = loss_reference(student, teacher, center, 0.1, temp)
        grads = dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
        center = 0.9 * center + 0.1 * sum(z.mean(0) for z in teacher) / 2
        with torch.no_grad():
            for k, w in p.items():
                if k.startswith('head.last_layer') and i < n:
                    continue
                g = grads[k]
                norm = float(g.square().sum()) ** 0.5
                clipped += norm > CLIP
                g = g * min(1, CLIP / (norm + 1e-6))
                step, a, b = state.get(k, (0, 0, 0))
                step, a, b = step + 1, 0.9 * a + 0.1 * g, 0.999 * b + 0.001 * g * g
                state[k] = step, a, b
                decay = 0 if w.ndim == 1 else wd
                w *= 1 - LR * decay
                w -= LR * a / (1 - 0.9**step) / ((b / (1 - 0.999**step)).sqrt() + 1e-8)
            for k, w in dict(ref.student.named_parameters()).items():
                q[k].copy_(m * q[k] + (1 - m) * w)
    assert 0 < clipped < EPOCHS * n * len(p)  # some gradients were, some were not
    got, teacher = dict(model.named_parameters()), dict(model.teacher.module.named_parameters())
    for k in p:
        assert float((got[k] - p[k]).detach().abs().max()) < 1e-6, k
    for k in q:
        assert float((teacher[k] - q[k]).abs().max()) < 1e-6, k
    torch.testing.assert_close(model.criterion.center, center, rtol=0, atol=1e-6)
    assert int(model.teacher.steps) == 1 + EPOCHS * n


def test_frozen_layer_leaves_no_trace(tmp_path):
    model = prepared()
    before = model.head.last_layer.weight_v.detach().clone()
    hooks = [dict(h, length=2) if 'Freeze' in h['type'] else h for h in HOOKS_OF_DINO]
    train(tmp_path, model, hooks)
    assert torch.equal(model.head.last_layer.weight_v, before)
    assert not torch.equal(model.head.mlp[0].weight, model.teacher.module.head.mlp[0].weight)


def test_freeze_names_a_parameter(tmp_path):
    hooks = [dict(type='mssl_plugins.FreezeHook', names='head.last_leyer')]
    with pytest.raises(ValueError, match="did you mean 'head.last_layer'"):
        train(tmp_path, build(), hooks)


@pytest.mark.parametrize(
    'hook, text',
    [
        (dict(type='mssl_plugins.ClipEachHook', max_norm=0), 'positive'),
        (dict(type='mssl_plugins.FreezeHook', names='head', length=-1), 'negative'),
    ],
)
def test_hooks_refuse(hook, text):
    with pytest.raises(ValueError, match=text):
        HOOKS.build(hook)


def test_too_few_views():
    with pytest.raises(ValueError, match='at least 2 views, global ones first, got 1 views'):
        build().loss(views()[:1])
    with pytest.raises(ValueError, match='single tensor'):
        build().loss(views()[0])


def test_patches_must_tile_every_view():
    x = views() + [torch.zeros(B, 3, 10, 10)]
    with pytest.raises(
        ValueError, match='view 4 of 10 x 10 px is not divisible by the patch size 4'
    ):
        build().loss(x)


def test_prototypes_must_agree():
    with pytest.raises(ValueError, match='leave out'):
        build(criterion=dict(out_channels=K + 1))


def test_coverage_needs_a_network_that_takes_it():
    model = build(PLAIN_VIT)
    model.backbone_kwargs = lambda data_samples, view: dict(coverage=torch.zeros(B, 16, 2))
    with pytest.raises(TypeError, match='mssl_plugins.ViT'):
        model.loss([v.float() for v in views(local=0)])


def test_state_holds_center_and_teacher():
    state = build().state_dict()
    assert 'criterion.center' in state and 'teacher.steps' in state
    assert 'teacher.module.backbone.patch_embed.projection.weight' in state
    assert 'teacher.module.head.last_layer.weight_v' in state
    assert not any(k.startswith('_student') for k in state)


def test_extracts_features_of_the_student():
    model = build().eval()
    x = views()[0].float()
    assert torch.equal(model.extract_feat(x)[-1], model.backbone(x)[-1])
    assert isinstance(model.teacher, MomentumTeacher)
