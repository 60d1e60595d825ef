"""Ten steps of DINO in a real Runner against the paper written out below.

The reference shares nothing with the library but the weights at the start and
the batches: network, multi-crop loss, centering, schedules, AdamW, clipping,
freezing and EMA are written from arXiv 2104.14294 and its appendix.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from mssl_plugins.registry import MODELS

BATCH, PER_EPOCH, EPOCHS, WARMUP = 6, 2, 5, 2  # ten steps
STEPS, DIM, HEADS, PATCH, SIZE, K = PER_EPOCH * EPOCHS, 16, 2, 4, 16, 8
LR, MIN_LR, CLIP, TEMP_EPOCHS = 2e-3, 1e-6, 0.5, 3
MODEL = dict(
    type='mssl_plugins.DINO',
    momentum=0.9,
    data_preprocessor=dict(mean=None, std=None),
    backbone=dict(
        type='mssl_plugins.ViT',
        img_size=SIZE,
        patch_size=PATCH,
        weight_init='dino',
        interpolate_offset=0.1,
        antialias=False,
        arch=dict(embed_dims=DIM, num_layers=2, num_heads=HEADS, feedforward_channels=24),
    ),
    head=dict(
        type='mssl_plugins.DINOHead',
        in_channels=DIM,
        out_channels=K,
        hidden_channels=12,
        bottleneck_channels=6,
    ),
)


class Crops(Dataset):
    """Two global and two local crops of 12 images."""

    def __init__(self, dtype):
        g = torch.Generator().manual_seed(5)
        self.views = [
            torch.randn(BATCH * PER_EPOCH, 3, s, s, generator=g, dtype=torch.float64).to(dtype)
            for s in (SIZE, SIZE, 8, 8)
        ]

    def __len__(self):
        return len(self.views[0])

    def __getitem__(self, i):
        return dict(inputs=[v[i] for v in self.views], data_samples=i)


def linear(x, p, name):
    return x @ p[f'{name}.weight'].T + p[f'{name}.bias']


def norm(x, p, name):
    return F.layer_norm(x, x.shape[-1:], p[f'{name}.weight'], p[f'{name}.bias'], 1e-6)


def network(p, x):
    """ViT and head: (B, 3, S, S) -> logits (B, K)."""
    b, side = len(x), x.shape[2] // PATCH
    x = F.conv2d(
        x,
        p['backbone.patch_embed.projection.weight'],
        p['backbone.patch_embed.projection.bias'],
        stride=PATCH,
    )
    x = x.flatten(2).transpose(1, 2)
    table, old = p['backbone.pos_embed'], SIZE // PATCH
    cls, grid = table[:, :1], table[:, 1:]
    if side != old:
        grid = grid.view(1, old, old, DIM).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, scale_factor=(side + 0.1) / old, mode='bicubic')
        grid = grid.permute(0, 2, 3, 1).reshape(1, side * side, DIM)
    x = torch.cat([(p['backbone.cls_token'] + cls).expand(b, -1, -1), x + grid], 1)
    for i in range(2):
        name = f'backbone.layers.{i}'
        q, k, v = (
            linear(norm(x, p, f'{name}.ln1'), p, f'{name}.attn.qkv')
            .view(b, -1, 3, HEADS, DIM // HEADS)
            .permute(2, 0, 3, 1, 4)
        )
        weights = (q @ k.transpose(2, 3) / math.sqrt(DIM // HEADS)).softmax(-1)
        x = x + linear((weights @ v).transpose(1, 2).reshape(b, -1, DIM), p, f'{name}.attn.proj')
        y = F.gelu(linear(norm(x, p, f'{name}.ln2'), p, f'{name}.ffn.layers.0.0'))
        x = x + linear(y, p, f'{name}.ffn.layers.1')
    x = norm(x, p, 'backbone.ln1')[:, 0]
    x = linear(F.gelu(linear(F.gelu(linear(x, p, 'head.mlp.0')), p, 'head.mlp.2')), p, 'head.mlp.4')
    x = x / x.norm(dim=1, keepdim=True)
    v = p['head.last_layer.weight_v']
    return x @ (v / v.norm(dim=1, keepdim=True)).T


def cosine(start, end, t):
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def reference(student, teacher, data):
    """The paper's training; returns the losses and the center, changes the weights."""
    trained = [k for k, p in student.items() if p.requires_grad]
    m1, m2 = ({k: torch.zeros_like(student[k]) for k in trained} for _ in 'ab')
    times, center, losses = dict.fromkeys(trained, 0), torch.zeros(K).to(data[0]), []
    clipped = 0
    for step in range(STEPS):
        epoch, warm = step // PER_EPOCH, WARMUP * PER_EPOCH
        rate = (
            LR * step / (warm - 1)
            if step < warm
            else cosine(LR, MIN_LR, (step - warm) / (STEPS - warm))
        )
        decay, momentum = cosine(0.04, 0.4, step / STEPS), cosine(0.9, 1.0, step / STEPS)
        temp = 0.04 + (0.07 - 0.04) * min(epoch / (TEMP_EPOCHS - 1), 1)
        start = step % PER_EPOCH * BATCH
        views = [v[start : start + BATCH] for v in data]
        with torch.no_grad():
            targets = [network(teacher, v) for v in views[:2]]
        outputs, total, pairs = [network(student, v) for v in views], 0.0, 0
        for i, z in enumerate(targets):
            target = ((z - center) / temp).softmax(-1)
            for j, out in enumerate(outputs):
                if i != j:
                    total, pairs = (
                        total - (target * F.log_softmax(out / 0.1, -1)).sum(-1).mean(),
                        pairs + 1,
                    )
        loss = total / pairs
        losses.append(float(loss.detach()))
        center = 0.9 * center + 0.1 * torch.cat(targets).mean(0)
        grads = torch.autograd.grad(loss, [student[k] for k in trained])
        with torch.no_grad():
            for k, g in zip(trained, grads):
                clipped += bool(g.norm() > CLIP)
                g = g * min(1.0, CLIP / (float(g.norm()) + 1e-6))
                if epoch < 1 and 'last_layer' in k:
                    continue
                w, times[k] = student[k], times[k] + 1
                if not (k.endswith('.bias') or w.ndim == 1):
                    w -= rate * decay * w
                m1[k] = 0.9 * m1[k] + 0.1 * g
                m2[k] = 0.999 * m2[k] + 0.001 * g * g
                first, second = m1[k] / (1 - 0.9 ** times[k]), m2[k] / (1 - 0.999 ** times[k])
                w -= rate * first / (second.sqrt() + 1e-8)
            for k, w in teacher.items():
                w.copy_(momentum * w + (1 - momentum) * student[k])
    assert 0 < clipped < STEPS * len(trained)  # some gradients were, some were not
    return losses, center


def prepared(dtype):
    torch.manual_seed(0)
    model = MODELS.build(MODEL)
    model.init_weights()
    with torch.no_grad():  # far from the start, where all gradients would be tiny
        for p in model.parameters():
            if p.requires_grad:
                p += 0.2 * torch.randn_like(p)
    model.to(dtype).train()
    model.data_preprocessor.normalize = lambda view: view  # keep float64
    return model


@pytest.mark.parametrize(
    'dtype, atol', [(torch.float64, 1e-8), (torch.float32, 1e-5)], ids=['float64', 'float32']
)
def test_ten_steps_equal_the_paper(tmp_path, dtype, atol):
    model = prepared(dtype)
    student = {
        k: p.detach().clone().requires_grad_(p.requires_grad)
        for k, p in model.named_parameters()
        if not k.startswith('teacher.')
    }
    start = {k: p.detach().clone() for k, p in student.items()}
    teacher = {k: p.detach().clone() for k, p in student.items()}
    seen, criterion = [], model.criterion
    criterion.register_forward_hook(lambda m, args, out: seen.append(float(out.detach())))
    Runner(
        model=model,
        work_dir=str(tmp_path),
        experiment_name=tmp_path.name,
        train_dataloader=DataLoader(Crops(dtype), batch_size=BATCH),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=LR, weight_decay=0.04),
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=1e-9, end=WARMUP, convert_to_iter_based=True),
            dict(
                type='CosineAnnealingLR',
                T_max=EPOCHS - WARMUP,
                begin=WARMUP,
                end=EPOCHS,
                eta_min=MIN_LR,
                convert_to_iter_based=True,
            ),
        ],
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
        default_scope='mmpretrain',
        default_hooks=dict(checkpoint=None, logger=None),
        custom_hooks=[
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
                        length=TEMP_EPOCHS,
                        per_epoch=True,
                        inclusive=True,
                    ),
                    dict(target='optimizer.weight_decay', start=0.04, end=0.4),
                ],
            ),
        ],
    ).train()
    losses, center = reference(student, teacher, Crops(dtype).views)
    assert seen == pytest.approx(losses, abs=atol) and len(set(losses)) == STEPS
    ours = dict(model.named_parameters())
    moved = 0.0
    for k, want in student.items():
        got, want = ours[k].detach(), want.detach().clone()
        if 'qkv.bias' in k:  # softmax does not see the keys' bias: its gradient is rounding alone
            got[DIM : 2 * DIM] = want[DIM : 2 * DIM] = 0
        assert float((got - want).abs().max()) < atol, k
        moved = max(moved, float((want - start[k]).abs().max()))
    for k, want in teacher.items():
        got, want = ours[f'teacher.module.{k}'].clone(), want.clone()
        if 'qkv.bias' in k:
            got[DIM : 2 * DIM] = want[DIM : 2 * DIM] = 0
        assert float((got - want).abs().max()) < atol, k
    torch.testing.assert_close(model.criterion.center, center, rtol=0, atol=atol)
    assert moved > 500 * atol and int(model.teacher.steps) == STEPS
