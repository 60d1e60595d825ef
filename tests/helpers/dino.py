"""Tiny DINO models, their batches, and its formulas written out."""

import math

import torch

from mssl_plugins.registry import MODELS

B, K, DIM = 4, 6, 16
ARCH = dict(embed_dims=DIM, num_layers=2, num_heads=2, feedforward_channels=24)
VIT = dict(type='mssl_plugins.ViT', arch=ARCH, img_size=16, patch_size=4)
PLAIN_VIT = dict(VIT, type='mmpretrain.VisionTransformer')
HEAD = dict(
    type='mssl_plugins.DINOHead',
    in_channels=DIM,
    out_channels=K,
    hidden_channels=10,
    bottleneck_channels=5,
)


def build(backbone=VIT, head=HEAD, type='DINO', **kwargs):
    torch.manual_seed(0)
    model = MODELS.build(dict(type=f'mssl_plugins.{type}', backbone=backbone, head=head, **kwargs))
    model.init_weights()
    for name, p in model.named_parameters():  # tokens and positions start alike otherwise
        if p.requires_grad:
            p.data += 0.2 * torch.randn_like(p)
    return model


def views(seed=0, local=2, batch=B):
    g = torch.Generator().manual_seed(seed)
    sizes = [16, 16] + [8] * local
    return [torch.randn(batch, 3, s, s, generator=g, dtype=torch.float64) for s in sizes]


def move_teacher(model):
    """A teacher that differs from the student."""
    model.teacher.sync()
    with torch.no_grad():
        for p in model.teacher.module.parameters():
            if p.shape[1:] != (1,):  # the gain of the prototypes stays 1
                p += 0.1 * torch.randn_like(p)


def loss_reference(student, teacher, center, student_temp, teacher_temp):
    """Lists of (B, K) logits of each view -> scalar, one image at a time."""
    total, pairs = 0.0, 0
    for t, zt in enumerate(teacher):
        for s, zs in enumerate(student):
            if s == t:
                continue
            pairs += 1
            for a, b in zip(zt, zs):
                e = [math.exp((float(x) - float(c)) / teacher_temp) for x, c in zip(a, center)]
                p = [x / sum(e) for x in e]
                log_norm = torch.log(sum(torch.exp(x / student_temp) for x in b))
                total = total + sum(
                    -pk * (x / student_temp - log_norm) for pk, x in zip(p, b)
                ) / len(zt)
    return total / pairs


def head_reference(x, p, prefix='head.'):
    """The head from its tensors, (N, C) -> (N, K)."""
    for layer in (0, 2, 4):
        x = x @ p[f'{prefix}mlp.{layer}.weight'].T + p[f'{prefix}mlp.{layer}.bias']
        if layer < 4:
            x = 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
    x = x / x.square().sum(1, keepdim=True).sqrt()
    v = p[f'{prefix}last_layer.weight_v']
    return x @ (v / v.square().sum(1, keepdim=True).sqrt()).T


def statistics(model):
    return {
        k: v.clone() for k, v in model.state_dict().items() if 'running' in k or 'num_batches' in k
    }
