"""iBOT against formulas written out patch by patch in float64, and against DINO."""

import math

import numpy as np
import pytest
import torch

from helpers.dino import (
    HEAD,
    VIT,
    B,
    K,
    build,
    head_reference,
    loss_reference,
    move_teacher,
    views,
)
from mssl_plugins.models.losses.ibot import IBOTPatchLoss
from mssl_plugins.models.masking import MIM_STRATEGIES, block_grid, draw_blocks, mim_mask

MASKED = dict(VIT, mask_token=True)


def cross_entropy(student, teacher, center, student_temp, teacher_temp):
    """One patch: -P_t . log P_s from (K,) logits."""
    e = [math.exp((float(t) - float(c)) / teacher_temp) for t, c in zip(teacher, center)]
    norm = torch.log(sum(torch.exp(x / student_temp) for x in student))
    return sum(-a / sum(e) * (x / student_temp - norm) for a, x in zip(e, student))


@pytest.mark.parametrize('strategy', MIM_STRATEGIES)
def test_the_loss_by_loops(strategy):
    model = build(MASKED, type='IBOT', strategy=strategy, lambda1=0.7, lambda2=1.3).double()
    move_teacher(model)
    model.patch_criterion.teacher_temp = 0.06
    model.patch_criterion.center.copy_(torch.randn(K))
    model.criterion.center.copy_(torch.randn(K))
    centers = model.criterion.center.clone(), model.patch_criterion.center.clone()
    x, masks = views(), []
    kept = model.sample_mask
    model.sample_mask = lambda *args: masks.append(kept(*args)) or masks[0]
    losses = model.loss(x)
    mask = masks[0].view(2, B, 16)
    assert 0 < mask.float().mean() < 1 and (mask.sum(2) == 0).any()  # some images are whole

    student = {k: v for k, v in model.state_dict().items() if not k.startswith('teacher.')}
    teacher = {
        k[len('teacher.module.') :]: v
        for k, v in model.state_dict().items()
        if k.startswith('teacher.module.')
    }
    ours, theirs, total = [], [], 0.0
    for v in range(4):
        extra = dict(mask=mask[v]) if v < 2 else {}
        tokens = model.backbone.forward_tokens(x[v], **extra)
        ours.append(head_reference(tokens[:, 0], student))
        if v > 1:
            continue
        seen = model.teacher.module.backbone.forward_tokens(x[v])
        theirs.append(head_reference(seen[:, 0], teacher))
        for b in range(B):
            hidden = [i for i in range(16) if mask[v, b, i]]
            for i in hidden:
                pair = (
                    head_reference(tokens[b, 1 + i][None], student)[0],
                    head_reference(seen[b, 1 + i][None], teacher)[0],
                )
                total = total + cross_entropy(*pair, centers[1], 0.1, 0.06) / len(hidden) / B / 2
    dino = loss_reference(ours, theirs, centers[0], 0.1, 0.04)
    assert float(losses['loss_dino'].detach()) == pytest.approx(0.7 * float(dino), abs=1e-8)
    assert float(losses['loss_patch'].detach()) == pytest.approx(1.3 * float(total), abs=1e-8)
    given = torch.autograd.grad(losses['loss_patch'], model.backbone.mask_token)[0]
    wanted = torch.autograd.grad(1.3 * total, model.backbone.mask_token)[0]
    torch.testing.assert_close(given, wanted, rtol=0, atol=1e-9)
    # the center of patches moves with the mean over all patches of all images
    all_logits = torch.cat(
        [
            head_reference(model.teacher.module.backbone.forward_tokens(x[v])[b, 1:], teacher)
            for v in range(2)
            for b in range(B)
        ]
    )
    moved = 0.9 * centers[1] + 0.1 * all_logits.mean(0)
    torch.testing.assert_close(model.patch_criterion.center, moved, rtol=0, atol=1e-9)
    assert float(losses['masked']) == pytest.approx(float(mask.float().mean()))


def step(model, x):
    torch.manual_seed(5)
    losses = model.loss(x)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    return losses, {k: p.grad for k, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('given', [dict(ratios=[0.0], spread=[0.0]), dict()], ids=['never', 'now'])
def test_without_a_masked_patch_it_is_dino_bit_for_bit(given):
    """With drop path, whose draws are the same; masks by a factor of 0 hide nothing either."""
    backbone = dict(MASKED, drop_path_rate=0.3)
    x = [v.float() for v in views()]
    dino = build(backbone, type='DINO')
    ibot = build(backbone, type='IBOT', **given)
    ibot.load_state_dict(dino.state_dict(), strict=False)
    ibot.mim = 0.0
    if not given:  # masks draw from torch's generator: not what is compared here
        ibot.sample_mask = lambda views, teacher: torch.zeros(2 * B, 16, dtype=torch.bool)
    a, b = step(dino, x), step(ibot, x)
    assert torch.equal(a[0]['loss_dino'], b[0]['loss_dino'])
    assert float(b[0].get('loss_patch', 0)) == 0 == float(b[0].get('masked', 0))
    for name, grad in a[1].items():
        if name != 'backbone.mask_token':
            assert torch.equal(grad, b[1][name]), name
    assert torch.equal(dino.criterion.center, ibot.criterion.center)


def test_a_factor_of_zero_hides_nothing():
    model = build(MASKED, type='IBOT', strategy='random', ratios=[0.5], spread=[0.2])
    x = [v.float() for v in views()]
    assert float(model.loss(x)['masked']) > 0.2
    model.mim = 0.0
    losses = model.loss(x)
    assert float(losses['masked']) == 0 and float(losses['loss_patch']) == 0


def test_ratios_are_those_of_the_paper():
    """Half of the images are whole; of the others 10 to 50 % are hidden, uniformly."""
    model = build(MASKED, type='IBOT', strategy='random')
    x = [torch.zeros(400, 3, 80, 80)] * 2  # 20 x 20 patches

    class Nothing:
        attention = [None]

    fraction = model.sample_mask(x, Nothing).float().mean(1)
    hidden = fraction[fraction > 0]
    assert abs(len(hidden) / 800 - 0.5) < 0.08
    assert 0.0975 <= hidden.min() < 0.13 and 0.47 < hidden.max() <= 0.5
    assert abs(float(hidden.mean()) - 0.3) < 0.02
    quarter = hidden.sort().values[len(hidden) // 4]
    assert abs(float(quarter) - 0.2) < 0.03


def test_blocks_are_beits():
    """BEiT's Algorithm 1 as iBOT's loader runs it, with the same draws."""
    for seed in range(20):
        for shape, ratio in (((14, 14), 0.3), ((14, 14), 0.5), ((8, 12), 0.13)):
            rng, high = np.random.default_rng(seed), ratio * shape[0] * shape[1]
            mask, count = np.zeros(shape, bool), 0
            while count < high:
                room, new = high - count, 0
                for _ in range(10):
                    low = (min(shape) // 3) ** 2
                    area = rng.uniform(min(low, room), max(low, room))
                    aspect = math.exp(rng.uniform(math.log(0.3), -math.log(0.3)))
                    h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
                    if 0 < w < shape[1] and 0 < h < shape[0]:
                        top, left = rng.integers(shape[0] - h + 1), rng.integers(shape[1] - w + 1)
                        fresh = h * w - int(mask[top : top + h, left : left + w].sum())
                        if 0 < fresh <= room:
                            mask[top : top + h, left : left + w] = True
                            new = fresh
                    if new:
                        break
                if not new:
                    break
                count += new
            found = draw_blocks(shape, high, (min(shape) // 3) ** 2, np.random.default_rng(seed))
            assert (found == mask).all() and found.sum() <= high
    assert block_grid(8, 0.5, np.random.default_rng(0)).shape == (8, 8)


def test_attention_orders_the_hidden_patches():
    attention = torch.tensor([[0.4, 0.1, 0.3, 0.2], [0.1, 0.1, 0.1, 0.7]])
    low = mim_mask('attention_low', [0.5, 0.25], (2, 2), attention)
    high = mim_mask('attention_high', [0.5, 0.0], (2, 2), attention)
    assert low.tolist() == [[False, True, False, True], [True, False, False, False]]
    assert high.tolist() == [[True, False, True, False], [False] * 4]
    torch.manual_seed(0)
    assert mim_mask('random', [0.5, 1.0, 0.3], (2, 4)).sum(1).tolist() == [4, 8, 2]


def test_the_patch_loss_runs_in_float32_under_bf16():
    loss = IBOTPatchLoss(K)
    z = torch.randn(2, 5, K).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(z[0], z[1], torch.full((5,), 0.2))
    assert value.dtype == torch.float32
    wanted = sum(cross_entropy(a, b, torch.zeros(K), 0.1, 0.04) for a, b in zip(*z.double())) / 5
    assert float(value) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    'given, words',
    [
        (dict(backbone=VIT), 'mask_token=True'),
        (dict(head=dict(HEAD, use_bn=True)), 'use_bn=False'),
        (dict(strategy='blocks'), "did you mean 'block'|block, random"),
        (dict(ratios=[0.3], spread=[0.4]), r'\[0, 1\], got 0.3 plus or minus 0.4'),
        (dict(ratios=[0.3]), 'as many'),
        (dict(lambda2=-1.0), '0 or more'),
    ],
)
def test_mistakes_are_told(given, words):
    given = dict(given)
    with pytest.raises(ValueError, match=words):
        build(given.pop('backbone', MASKED), given.pop('head', HEAD), type='IBOT', **given)
