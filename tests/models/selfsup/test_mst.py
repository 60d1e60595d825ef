"""MST against formulas written out token by token in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.dino import (
    DIM,
    HEAD,
    VIT,
    B,
    K,
    build,
    loss_reference,
    move_teacher,
    statistics,
    views,
)

L = 16
MASK_VIT = dict(VIT, mask_token=True)
NECK = dict(type='mssl_plugins.PixelDecoder', in_channels=DIM, patch_size=4, widths=(8, 6))
BN_HEAD = dict(HEAD, use_bn=True)


def mst(backbone=MASK_VIT, head=BN_HEAD, neck=NECK, **kwargs):
    return build(backbone, head, 'MST', neck=neck, **kwargs)


def head_bn(x, net):
    """The head on one view alone, with its own batch statistics."""
    for layer in net.head.mlp:
        if isinstance(layer, nn.BatchNorm1d):
            var, mean = torch.var_mean(x, 0, unbiased=False)
            x = (x - mean) / (var + layer.eps).sqrt() * layer.weight + layer.bias
        else:
            x = layer(x)
    x = x / x.square().sum(1, keepdim=True).sqrt()
    v = net.head.last_layer.weight_v
    return x @ (v / v.square().sum(1, keepdim=True).sqrt()).T


def decode_bn(tokens, neck):
    x = tokens.transpose(1, 2).reshape(len(tokens), -1, 4, 4)
    for stage in neck.stages:
        x = stage[0](x)
        var, mean = torch.var_mean(x, (0, 2, 3), unbiased=False, keepdim=True)
        w, b = (t.view(1, -1, 1, 1) for t in (stage[1].weight, stage[1].bias))
        x = ((x - mean) / (var + 1e-5).sqrt() * w + b).clamp(min=0)
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
    return neck.to_pixels(x)


def test_algorithm_1():
    """One evaluation of the whole step, one view at a time, gradients included."""
    model = mst(q=0.25, lambda1=0.7, lambda2=0.6).double().train()
    move_teacher(model)
    model.criterion.center.copy_(torch.randn(K))
    ref = copy.deepcopy(model)
    x = views()
    losses = model.loss(x)
    sum(v for k, v in losses.items() if 'loss' in k).backward()

    teacher, student, rebuilt = [], [], []
    for i, v in enumerate(x):
        mask = None
        if i < 2:
            net = ref.teacher.module
            with torch.no_grad():
                tokens, attention = net.backbone.forward_tokens(v, return_attention=True)
                teacher.append(head_bn(tokens[:, 0], net))
            mean = attention.double().mean(1)
            mask = torch.zeros(B, L, dtype=torch.bool)
            for b in range(B):
                for t in sorted(range(L), key=lambda t: float(mean[b, t]))[:4]:
                    mask[b, t] = True
        tokens = ref.backbone.forward_tokens(v, mask=mask)
        student.append(head_bn(tokens[:, 0], ref.student))
        if i < 2:
            rebuilt.append((decode_bn(tokens[:, 1:], ref.neck) - v).abs().sum() / (B * 16 * 16))
    instance = 0.7 * loss_reference(student, teacher, ref.criterion.center, 0.1, 0.04)
    reconstruct = 0.6 * sum(rebuilt) / 2
    (instance + reconstruct).backward()
    assert float(losses['loss_dino'].detach()) == pytest.approx(float(instance.detach()), abs=1e-6)
    assert float(losses['loss_reconstruct'].detach()) == pytest.approx(
        float(reconstruct.detach()), abs=1e-6
    )
    assert float(losses['masked']) == 0.25
    grads = dict(ref.named_parameters())
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, grads[name].grad, rtol=0, atol=1e-6, msg=name)
    assert float(model.backbone.mask_token.grad.abs().max()) > 0
    center = 0.9 * ref.criterion.center + 0.1 * sum(z.mean(0) for z in teacher) / 2
    torch.testing.assert_close(model.criterion.center, center, rtol=0, atol=1e-6)


def spy(model):
    """What each pass of student and teacher was asked for."""
    calls = []
    for who, net in (('student', model.backbone), ('teacher', model.teacher.module.backbone)):

        def forward(x, *args, _who=who, _forward=net.forward_tokens, **kwargs):
            calls.append((_who, tuple(x.shape), kwargs))
            return _forward(x, *args, **kwargs)

        net.forward_tokens = forward
    return calls


def test_global_views_are_masked_by_their_own_attention():
    model = mst(q=0.25)
    move_teacher(model)
    x = [v.float() for v in views()]
    ranks = torch.stack([torch.randperm(L) for _ in range(2 * B)])  # known attention
    teacher = model.teacher.module.backbone
    plain = teacher.forward_tokens
    teacher.forward_tokens = lambda *a, **k: (
        plain(*a, **k)[0],
        ranks[:, None].float().expand(-1, 2, -1),
    )
    calls = spy(model)
    model.loss(x)
    (_, shape, first), (_, local, second) = [c for c in calls if c[0] == 'student']
    assert shape == (2 * B, 3, 16, 16) and torch.equal(first['mask'], ranks < 4)
    assert local == (2 * B, 3, 8, 8) and 'mask' not in second
    ((_, _, seen),) = [c for c in calls if c[0] == 'teacher']
    assert 'mask' not in seen


def test_class_token_is_never_masked():
    """All patches masked: the patches say nothing, [CLS] is itself."""
    model = mst(strategy='random', p=1.0)
    x = views()[0].float()
    mask = torch.ones(B, L, dtype=torch.bool)
    tokens = model.backbone.forward_tokens(x, mask=mask)
    assert torch.equal(tokens, model.backbone.forward_tokens(x + 1, mask=mask))
    with torch.no_grad():
        model.backbone.cls_token += torch.randn(DIM)
    assert not torch.allclose(tokens[:, 0], model.backbone.forward_tokens(x, mask=mask)[:, 0])
    _, drawn = model.sample_mask([x, x], [{}, {}])
    assert drawn.shape == (2 * B, L)  # no column for [CLS]


def test_local_crops_are_not_reconstructed():
    model, sizes = mst(), []
    model.neck.register_forward_hook(lambda m, a, out: sizes.append(tuple(out.shape)))
    model.loss([v.float() for v in views()])
    assert sizes == [(B, 3, 16, 16)] * 2  # each view its own statistics


def test_running_statistics_are_of_global_views():
    model = mst(strategy='random', p=0.5).train()
    twin = copy.deepcopy(model)
    x = [v.float() for v in views(local=3)]
    torch.manual_seed(1)
    model.loss(x)
    torch.manual_seed(1)
    twin.loss(x[:2])
    with_local, without = statistics(model), statistics(twin)
    assert {k.split('.')[0] for k in without} == {'head', 'neck', 'teacher'}
    for key in without:
        torch.testing.assert_close(with_local[key], without[key])  # the batch's size rounds
    assert all(int(v) == 2 for k, v in without.items() if 'num_batches' in k)


@pytest.mark.parametrize(
    'strategy, asks',
    [('attention_low', True), ('attention_high', True), ('random', False), ('none', False)],
)
def test_attention_is_computed_only_where_needed(strategy, asks):
    model = mst(strategy=strategy)
    calls = spy(model)
    losses = model.loss([v.float() for v in views()])
    ((_, _, seen),) = [c for c in calls if c[0] == 'teacher']
    assert bool(seen.get('return_attention')) == asks
    assert (
        float(losses['masked'])
        == dict(attention_low=0.125, attention_high=0.125, random=1, none=0)[strategy]
    )


def test_without_mask_and_restoration_it_is_dino():
    x = views()
    dino = build(head=HEAD).double()
    plain = mst(VIT, HEAD, None, strategy='none', lambda2=0.0).double()
    plain.load_state_dict(dino.state_dict())
    ours = plain.loss(x)
    assert (
        torch.equal(ours['loss_dino'], dino.loss(x)['loss_dino']) and 'loss_reconstruct' not in ours
    )


def test_masked_language_modeling():
    """Table 4, row 1: only masked patches count, no teacher, no local crops."""
    model = mst(strategy='random', p=0.3, replacement='bert', target='masked', lambda1=0.0).double()
    calls, x = spy(model), views()
    drawn = {}
    sample = model.sample_mask
    model.sample_mask = lambda *a: drawn.setdefault('out', sample(*a))
    decode, rebuilt = model.decode, []
    model.decode = lambda *a: rebuilt.append(decode(*a)) or rebuilt[-1]
    losses = model.loss(x)
    assert [c[0] for c in calls] == ['student'] and 'loss_dino' not in losses
    expected = 0
    for out, view, mask in zip(rebuilt, x, drawn['out'][1].chunk(2)):
        pixels = mask.view(B, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
        expected += 0.5 * ((out - view).abs() * pixels).sum() / pixels.sum()
    assert float(losses['loss_reconstruct'].detach()) == pytest.approx(
        0.6 * float(expected.detach())
    )
    losses['loss_reconstruct'].backward()
    without = {k for k, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert without == set()  # data-parallel training would wait for them


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(strategy='none'),
        dict(strategy='random', p=0.0),
        dict(replacement='bert'),
        dict(head=HEAD, neck=dict(NECK, use_bn=False)),
        dict(target='masked'),
    ],
)
def test_every_trainable_parameter_has_a_gradient(kwargs):
    model = mst(**kwargs)
    losses = model.loss([v.float() for v in views()])
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert not [k for k, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert all(p.grad is None for p in model.teacher.parameters())


def test_losses_are_float32_under_bf16():
    model = mst()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss([v.float() for v in views()])
    assert all(v.dtype == torch.float32 for v in losses.values())


def test_reconstruct_for_images():
    model = mst(q=0.25).eval()
    before = statistics(model)
    image, mask = model.reconstruct(views()[0].float())
    assert image.shape == (B, 3, 16, 16) and mask.shape == (B, 1, 16, 16)
    assert mask.dtype == torch.bool and float(mask.float().mean()) == 0.25
    assert all(torch.equal(v, before[k]) for k, v in statistics(model).items())


def test_teacher_with_other_patches():
    model = mst()
    model.teacher.sync()
    model.teacher.module.backbone = build(dict(VIT, patch_size=8)).backbone
    with pytest.raises(ValueError, match='4 patches, the student.* 4 x 4.*same patch size'):
        model.loss([v.float() for v in views()])


def test_size_that_patches_do_not_tile():
    with pytest.raises(
        ValueError, match='view 0 of 18 x 18 px is not divisible by the patch size 4'
    ):
        mst().loss([torch.zeros(B, 3, 18, 18)] * 2)


@pytest.mark.parametrize(
    'kwargs, error, text',
    [
        (dict(strategy='attention'), ValueError, 'allowed are attention_high, attention_low'),
        (dict(replacement='brt'), ValueError, "did you mean 'bert'"),
        (dict(target='mask'), ValueError, "did you mean 'masked'"),
        (dict(reduction='sum'), ValueError, 'allowed are image, mean, pixel'),
        (dict(q=2), ValueError, r'q of the token mask must lie in \[0, 1\]'),
        (dict(lambda2=-1), ValueError, 'negative'),
        (dict(lambda1=0, lambda2=0), ValueError, 'both 0'),
        (dict(neck=None), ValueError, 'PixelDecoder'),
        (dict(neck=dict(NECK, patch_size=2)), ValueError, 'patches of 2 px, the backbone has 4'),
        (dict(backbone=VIT), TypeError, 'mask_token=True'),
        (
            dict(backbone=dict(VIT, type='mmpretrain.VisionTransformer')),
            TypeError,
            'mssl_plugins.ViT',
        ),
    ],
)
def test_mst_refuses(kwargs, error, text):
    with pytest.raises(error, match=text):
        mst(**kwargs)
