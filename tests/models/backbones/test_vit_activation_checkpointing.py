"""Activation checkpointing changes memory, and neither losses nor gradients."""

import pytest
import torch

from helpers import mae
from helpers.dino import HEAD, VIT, views
from mssl_plugins.models.backbones.vit import ViT
from mssl_plugins.models.backbones.vitdet import ViTDet
from mssl_plugins.registry import MODELS

GUIDED = dict(positive=True, negative=True, init=0.5)
PIXELS = dict(type='mssl_plugins.PixelDecoder', in_channels=16, patch_size=4, widths=(8, 6))
RANDOM = dict(arch=dict(VIT['arch'], num_layers=3), drop_path_rate=0.5, drop_rate=0.1)


def dino(recompute, type='DINO', **kwargs):
    backbone = dict(VIT, **RANDOM, activation_checkpointing=recompute, **kwargs.pop('vit', {}))
    return dict(type=f'mssl_plugins.{type}', backbone=backbone, head=HEAD, **kwargs)


def masked(recompute, type):
    cfg = mae.config(type)
    backbone = dict(cfg['backbone'], drop_path_rate=0.5, activation_checkpointing=recompute)
    neck = dict(cfg['neck'], activation_checkpointing=recompute)
    return dict(cfg, backbone=backbone, neck=neck)


MAKE = dict(
    DINO=dino,
    MST=lambda recompute: dino(recompute, 'MST', neck=PIXELS, vit=dict(mask_token=True)),
    IBOT=lambda recompute: dino(recompute, 'IBOT', vit=dict(mask_token=True)),
    MAE=lambda recompute: masked(recompute, 'MAE'),
    ASL=lambda recompute: masked(recompute, 'ASL'),
)


def step(cfg, given):
    """Losses and gradients of one step, whose random numbers are those of seed 3."""
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    model.double().train()
    torch.manual_seed(3)
    losses = model(given, None, mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    grads = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    return losses, grads, model


@pytest.mark.parametrize('name', MAKE)
def test_losses_and_gradients_are_the_same(name):
    given = [mae.images()] if name in ('MAE', 'ASL') else views()
    (losses, grads, _), (again, same, model) = (step(MAKE[name](r), given) for r in (False, True))
    assert model.backbone.recompute and len(grads) > 20 and grads.keys() == same.keys()
    for key, value in {**losses, **grads}.items():
        torch.testing.assert_close({**again, **same}[key], value, rtol=1e-12, atol=1e-12, msg=key)


def test_a_bias_of_segments_has_its_gradient():
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        vit = ViT(
            VIT['arch'],
            img_size=16,
            patch_size=4,
            mask_bias=GUIDED,
            activation_checkpointing=recompute,
        ).double()
        coverage = torch.rand(2, 16, 3, dtype=torch.float64)
        vit.forward_tokens(torch.randn(2, 3, 16, 16).double(), coverage=coverage).sum().backward()
        found.append([p.grad for p in vit.mask_bias.parameters()])
    assert len(found[0]) == 4 and all(map(torch.equal, *found))


def kept_bytes(model, given):
    """What the forward pass keeps for the backward pass, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(x):
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = model(given)[0].sum()
    assert out.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize('kind', [ViT, ViTDet])
def test_less_is_kept_for_the_backward_pass(kind):
    arch = dict(embed_dims=16, num_layers=6, num_heads=2, feedforward_channels=64)
    x = torch.randn(2, 3, 16, 16)
    full, less = (
        kept_bytes(kind(arch, img_size=16, patch_size=4, activation_checkpointing=r), x)
        for r in (False, True)
    )
    assert less < full / 5


def test_teachers_and_evaluation_are_as_they_were():
    vit = ViT(VIT['arch'], img_size=16, patch_size=4, activation_checkpointing=True)
    vit.eval()
    with torch.no_grad():
        x = torch.randn(2, 3, 16, 16)
        assert vit(x)[0].grad_fn is None
        vit.recompute = False
        assert torch.equal(vit.forward_tokens(x)[:, 0], vit(x)[0])
