"""Tiny MAE models, their images, and its formulas written out."""

import math

import torch
from mmpretrain.models import MAEPretrainDecoder
from torch.func import functional_call

from mssl_plugins.registry import MODELS

B, GRID, PATCH, DIM, WIDTH = 3, 4, 2, 16, 8
SIZE, LENGTH, VALUES = GRID * PATCH, GRID**2, 3 * PATCH**2
ARCH = dict(embed_dims=DIM, num_layers=2, num_heads=2, feedforward_channels=32)


def config(type='MAE', **kwargs):
    return dict(
        type=f'mssl_plugins.{type}',
        backbone=dict(type='mssl_plugins.ViT', arch=ARCH, img_size=SIZE, patch_size=PATCH),
        neck=dict(
            type='mssl_plugins.MAEDecoder',
            num_patches=LENGTH,
            patch_size=PATCH,
            embed_dim=DIM,
            decoder_embed_dim=WIDTH,
            decoder_depth=2,
            decoder_num_heads=2,
        ),
        **kwargs,
    )


def build(type='MAE', **kwargs):
    torch.manual_seed(0)
    model = MODELS.build(config(type, **kwargs))
    model.init_weights()
    return model.double()


def images(batch=B, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, SIZE, SIZE, generator=g, dtype=torch.float64)


def decoder(neck):
    """mmpretrain's decoder with the parameters of one of :func:`config`."""
    sizes = {k: v for k, v in config()['neck'].items() if k != 'type'}
    return lambda *args: functional_call(
        MAEPretrainDecoder(**sizes), dict(neck.named_parameters()), args, strict=True
    )


def slow_prediction(model, x, keep, masked):
    """mmpretrain's way: [CLS] + shuffled tokens in, all patches out."""
    vit, order = model.backbone, torch.cat([keep, masked], 1)
    tokens = vit.patch_embed(x)[0] + vit.pos_embed[:, 1:]
    cls = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(x), -1, -1)
    tokens = torch.cat([cls, torch.stack([t[k] for t, k in zip(tokens, keep)])], 1)
    for layer in vit.layers:
        tokens = layer(tokens)
    return decoder(model.neck)(vit.norm1(tokens), order.argsort(1))  # (B, L, values)


def slow_loss(prediction, x, masked, norm_pix=True, columns=GRID):
    """One patch, one pixel at a time."""
    total, count = 0.0, 0
    for b in range(len(x)):
        for m in masked[b].tolist():
            row, column = divmod(m, columns)
            pixels = [
                x[b, c, row * PATCH + i, column * PATCH + j].item()
                for i in range(PATCH)
                for j in range(PATCH)
                for c in range(3)
            ]
            if norm_pix:
                mean = sum(pixels) / VALUES
                var = sum((p - mean) ** 2 for p in pixels) / (VALUES - 1)
                pixels = [(p - mean) / math.sqrt(var + 1e-6) for p in pixels]
            for guess, pixel in zip(prediction[b, m].tolist(), pixels):
                total, count = total + (guess - pixel) ** 2, count + 1
    return total / count
