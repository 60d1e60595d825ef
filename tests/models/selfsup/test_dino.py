"""DINO against formulas written out image by image in float64."""

import copy
import math

import pytest
import torch
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from helpers.dino import (
    DIM,
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
from mssl_plugins.models.heads.dino_head import DINOHead, WeightNormLinear, without_running_stats
from mssl_plugins.models.losses.dino import DINOLoss
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.registry import HOOKS

# ------------------------------------------------------------------ reference


# ----------------------------------------------------------------------- loss
def test_loss_and_center():
    g = torch.Generator().manual_seed(3)
    student = torch.randn(4, B, K, generator=g, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, B, K, generator=g, dtype=torch.float64)
    loss = DINOLoss(K, teacher_temp=0.06).double()
    loss.center.copy_(torch.randn(K, generator=g))
    expected = loss_reference(student, teacher, loss.center, 0.1, 0.06)
    given = loss(student, teacher)
    assert float(given.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    (ours,) = torch.autograd.grad(given, student)
    (theirs,) = torch.autograd.grad(expected, student)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)

    before = loss.center.clone()
    loss.update(teacher)
    for k in range(K):
        mean = sum(float(teacher[t, b, k]) for t in range(2) for b in range(B)) / (2 * B)
        assert float(loss.center[k]) == pytest.approx(0.9 * float(before[k]) + 0.1 * mean, abs=1e-9)
    assert 'center' in loss.state_dict()


def test_loss_runs_in_float32_under_bf16():
    loss = DINOLoss(K)
    z = torch.randn(3, B, K)
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(z.bfloat16(), z[:2].bfloat16())
    assert value.dtype == torch.float32
    expected = loss(z.bfloat16().float(), z[:2].bfloat16().float())
    torch.testing.assert_close(value, expected)


def test_uniform_teacher_gives_log_k():
    assert float(DINOLoss(K)(torch.zeros(2, B, K), torch.zeros(2, B, K))) == pytest.approx(
        math.log(K)
    )


@pytest.mark.parametrize(
    'kwargs, text',
    [
        (dict(teacher_temp=0), 'positive'),
        (dict(student_temp=-1), 'positive'),
        (dict(center_momentum=1.5), r'\[0, 1\]'),
    ],
)
def test_loss_refuses(kwargs, text):
    with pytest.raises(ValueError, match=text):
        DINOLoss(K, **kwargs)


def test_one_view_cannot_be_compared():
    with pytest.raises(ValueError, match='at least 2'):
        DINOLoss(K)(torch.zeros(1, B, K), torch.zeros(1, B, K))


# ----------------------------------------------------------------------- head
def test_head_is_the_formula():
    head = DINOHead(DIM, K, 10, 5).double()
    x = torch.randn(7, DIM, dtype=torch.float64)
    expected = head_reference(x, dict(head.named_parameters()), '')
    torch.testing.assert_close(head(x), expected, rtol=0, atol=1e-12)
    assert head(100 * x).abs().max() <= 1 + 1e-9  # unit prototypes, unit features
    assert not head.last_layer.weight_g.requires_grad
    assert DINOHead(DIM, K, norm_last_layer=False).last_layer.weight_g.requires_grad


def test_prototypes_as_torch_normalizes_weights():
    ours = WeightNormLinear(5, K, fixed_gain=False)
    with torch.no_grad():
        ours.weight_g.uniform_(0.5, 2)
    theirs = nn.utils.weight_norm(nn.Linear(5, K, bias=False))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5)
    torch.testing.assert_close(copy.deepcopy(ours)(x), theirs(x))


def test_head_normalizes_each_view_by_itself():
    head = DINOHead(DIM, K, 10, 5, use_bn=True).double()
    x = torch.randn(3 * B, DIM, dtype=torch.float64)
    x[B : 2 * B] += 5
    alone = torch.cat([copy.deepcopy(head)(part) for part in x.chunk(3)])
    torch.testing.assert_close(head(x, 3, 2), alone, rtol=0, atol=1e-10)
    mean = x[: 2 * B] @ head.mlp[0].weight.T + head.mlp[0].bias
    expected = 0
    for part in mean.chunk(2):  # two moves of 0.1, the third view none
        expected = 0.9 * expected + 0.1 * part.mean(0)
    torch.testing.assert_close(head.mlp[1].running_mean, expected)
    assert int(head.mlp[1].num_batches_tracked) == 2
    assert isinstance(head.mlp[1], nn.BatchNorm1d) and head.mlp[1].track_running_stats


def test_without_running_stats_restores_after_an_error():
    bn = nn.BatchNorm1d(3)
    with pytest.raises(RuntimeError), without_running_stats(bn):
        bn(torch.zeros(4, 5))
    assert bn.track_running_stats


# ----------------------------------------------------------------- multi-crop
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
        assert torch.equal(with_local[key], without[key]), key
    assert model.backbone.bn1.track_running_stats
    plain = build(RESNET, head).train()
    plain.loss(x)
    assert int(plain.backbone.bn1.num_batches_tracked) == 2  # a pass for each size


# --------------------------------------------------------- one step of training
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


def test_clip_measures_each_parameter():
    a, b, c = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    optimizer = torch.optim.SGD([dict(params=[a]), dict(params=[b, c])], lr=1.0)
    a.grad, b.grad = torch.tensor([30.0, 40.0]), torch.tensor([0.3, 0.4])
    hook = HOOKS.build(dict(type='mssl_plugins.ClipEachHook'))
    run = type('R', (), dict(optim_wrapper=type('O', (), dict(optimizer=optimizer))))
    hook.before_train(run)
    optimizer.step()
    torch.testing.assert_close(a.detach(), torch.tensor([-1.8, -2.4]))  # norm 50 -> 3
    torch.testing.assert_close(b.detach(), torch.tensor([-0.3, -0.4]))
    hook.after_train(run)
    a.grad = torch.tensor([30.0, 40.0])
    optimizer.step()
    assert float(a[0].detach()) < -30


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


# ---------------------------------------------------------------- wrong input
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
