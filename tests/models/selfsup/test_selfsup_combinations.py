"""Every cell of docs/combinations.md: run for a step, or refused."""

import re

import pytest
import torch
from mmpretrain.structures import DataSample

from helpers.paths import ROOT
from mssl_plugins.registry import MODELS

PAGE = ROOT / 'docs/combinations.md'
B, DIM, SIDE, PATCH = 3, 16, 16, 4
LENGTH = (SIDE // PATCH) ** 2
ARCH = dict(embed_dims=DIM, num_layers=2, num_heads=2, feedforward_channels=24)
HEAD = dict(
    type='mssl_plugins.DINOHead',
    in_channels=DIM,
    out_channels=6,
    hidden_channels=10,
    bottleneck_channels=5,
)
PARTS = dict(plain={}, newer=dict(registers=2, rope=dict(base=100.0)))


def table():
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in PAGE.read_text().splitlines()
        if line.startswith('|')
    ]
    masks = rows[0][3:]
    return [
        (row[0], mask, cell == 'yes')
        for row in rows[2:]
        for mask, cell in zip(masks, row[3:], strict=True)
    ]


CELLS = table()


def config(kind, mask, parts):
    name = re.match(r'`(\w+)`', kind)[1]
    guided = name.startswith('MaskGuided')
    base = name.removeprefix('MaskGuided')
    model = dict(
        type=f'mssl_plugins.{name}',
        backbone=dict(
            type='mssl_plugins.ViT', arch=ARCH, img_size=SIDE, patch_size=PATCH, **PARTS[parts]
        ),
    )
    if guided:
        model.update(num_segments=3)
        model['backbone']['mask_bias'] = dict(positive=True, negative=True, init=0.5)
    if base in ('MAE', 'ASL'):
        model['neck'] = dict(
            type='mssl_plugins.MAEDecoder',
            num_patches=LENGTH,
            patch_size=PATCH,
            embed_dim=DIM,
            decoder_embed_dim=8,
            decoder_depth=1,
            decoder_num_heads=2,
        )
        return dict(model, strategy=mask)
    model.update(head=HEAD)
    if base == 'DINO':
        return model if mask == 'none' else dict(model, strategy=mask)
    model['backbone']['mask_token'] = True
    if base == 'IBOT':
        if mask == 'none':
            return dict(model, ratios=[0.0], spread=[0.0])
        return dict(model, strategy=mask, ratios=[0.4], spread=[0.1])
    model.update(strategy=mask, q=0.5, p=1.0 if mask != 'random' else 0.5)
    if 'lambda2=0' in kind:
        return dict(model, lambda2=0)
    return dict(
        model, neck=dict(type='mssl_plugins.PixelDecoder', in_channels=DIM, patch_size=PATCH)
    )


def batch(model):
    torch.manual_seed(1)
    one = hasattr(model, 'mask_ratio')
    sizes = [SIDE] if one else [SIDE, SIDE, SIDE // 2]
    samples = []
    for _ in range(B):
        sample = DataSample()
        sample.set_field([torch.randint(0, 4, (s, s)) for s in sizes], 'view_segments')
        samples.append(sample)
    return [torch.randn(B, 3, s, s) for s in sizes], samples


@pytest.mark.parametrize('parts', PARTS)
@pytest.mark.parametrize('kind, mask, runs', CELLS, ids=[f'{k}-{m}' for k, m, _ in CELLS])
def test_a_cell(kind, mask, runs, parts):
    torch.manual_seed(0)
    if not runs:
        with pytest.raises((ValueError, TypeError), match='strategy|mask strategy'):
            MODELS.build(config(kind, mask, parts))
        return
    model = MODELS.build(config(kind, mask, parts))
    model.init_weights()
    for p in model.parameters():
        if p.requires_grad:
            p.data += 0.1 * torch.randn_like(p)
    model.train()
    losses = model.loss(*batch(model))
    total = sum(value for name, value in losses.items() if name.startswith('loss'))
    assert torch.isfinite(total)
    if 'masked' in losses:
        assert (float(losses['masked']) > 0) == (mask != 'none')
    total.backward()
    moving = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, p in moving.items() if p.grad is None] == []
    for part in ('register_tokens', 'mask_bias.a.0'):
        for name, p in moving.items():
            if name == f'backbone.{part}':
                assert p.grad.abs().sum() > 0, name
    if parts == 'newer':
        assert model.backbone.register_tokens.requires_grad and model.backbone.pos_embed is None


@pytest.mark.parametrize('mask', ['block', 'attention_low', 'attention_high'])
def test_maes_masks_are_those_asked_for(mask):
    """As many patches in every image; by attention exactly the least or most attended ones."""
    model = MODELS.build(dict(config('`MAE`', mask, 'newer'), mask_ratio=0.5))
    model.init_weights()
    images = batch(model)[0][0]
    torch.manual_seed(3)
    keep, masked = model.sample_mask(images)
    assert keep.shape == masked.shape == (B, LENGTH // 2)
    for k, m in zip(keep.tolist(), masked.tolist()):
        assert sorted(k + m) == list(range(LENGTH)) and k == sorted(k) and m == sorted(m)
    if mask == 'block':  # hidden patches touch each other far more often than at random
        grid = torch.zeros(B, LENGTH).scatter(1, masked, 1).view(B, 4, 4)
        touching = (grid[:, 1:] * grid[:, :-1]).sum() + (grid[..., 1:] * grid[..., :-1]).sum()
        assert touching > B * 24 * 0.25 * 0.9
        return
    attention = model.attention(images)
    for a, m in zip(attention, masked.tolist()):
        order = a.argsort(descending=mask == 'attention_high').tolist()
        assert sorted(order[: LENGTH // 2]) == m


def test_a_unit_is_for_random_masks():
    with pytest.raises(ValueError, match='mask_unit=2 is for random masks, not for block'):
        MODELS.build(dict(config('`MAE`', 'block', 'plain'), mask_unit=2))
