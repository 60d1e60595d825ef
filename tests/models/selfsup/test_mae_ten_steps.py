"""Ten steps of MAE in the stock Runner against MAE written out from the paper.

The reference has its own patches, masks, Transformer, loss (arXiv 2111.06377,
sections 3 and A.1), AdamW (arXiv 1711.05101, Algorithm 2) and schedule.
"""

import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mssl_plugins.catalogue import find

B, H, W, P, DIM, HEADS, DEPTH = 4, 8, 16, 4, 16, 2, 2  # a grid of 2 x 4 patches
WIDTH, DECODER_HEADS, DECODER_DEPTH = 12, 3, 2
EPOCHS, WARMUP, PER_EPOCH = 5, 2, 2  # ten steps
LR, DECAY, BETA1, BETA2, EPS, RATIO = 1e-3, 0.05, 0.9, 0.95, 1e-8, 0.75
MEAN, STD = [120.0, 110.0, 100.0], [60.0, 58.0, 56.0]


# ------------------------------------------------------------ the reference
def layer_norm(x, p, name):
    x = x - x.mean(-1, keepdim=True)
    return (
        x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * p[f'{name}.weight']
        + p[f'{name}.bias']
    )


def linear(x, p, name):
    return x @ p[f'{name}.weight'].T + p[f'{name}.bias']


def block(x, p, name, heads):
    """Pre-norm attention and MLP, (B, N, D) -> (B, N, D)."""
    b, n, d = x.shape
    qkv = linear(layer_norm(x, p, f'{name}.ln1'), p, f'{name}.attn.qkv')
    q, k, v = qkv.reshape(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    weight = (q @ k.transpose(-2, -1) / math.sqrt(d // heads)).exp()
    weight = weight / weight.sum(-1, keepdim=True)
    x = x + linear((weight @ v).transpose(1, 2).reshape(b, n, d), p, f'{name}.attn.proj')
    h = linear(layer_norm(x, p, f'{name}.ln2'), p, f'{name}.ffn.layers.0.0')
    h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))  # GELU
    return x + linear(h, p, f'{name}.ffn.layers.1')


def patches_of(x):
    """(B, 3, H, W) -> (B, L, P * P * 3), pixel by pixel."""
    return torch.stack(
        [
            torch.stack(
                [
                    x[:, :, r : r + P, c : c + P].permute(0, 2, 3, 1).reshape(len(x), -1)
                    for c in range(0, W, P)
                ],
                1,
            )
            for r in range(0, H, P)
        ],
        1,
    ).flatten(1, 2)


def mae_loss(p, images, noise):
    """The patches of least noise are seen, the others are predicted."""
    patches = patches_of(images)
    length = patches.shape[1]
    order = noise.argsort(1)
    seen = round(length * (1 - RATIO))
    rows = torch.arange(len(images))[:, None]
    kernel = p['backbone.patch_embed.projection.weight'].permute(0, 2, 3, 1).reshape(DIM, -1)
    x = patches @ kernel.T + p['backbone.patch_embed.projection.bias']
    x = (x + p['backbone.pos_embed'][:, 1:])[rows, order[:, :seen]]
    cls = p['backbone.cls_token'] + p['backbone.pos_embed'][:, :1]
    x = torch.cat([cls.expand(len(x), -1, -1), x], 1)
    for i in range(DEPTH):
        x = block(x, p, f'backbone.layers.{i}', HEADS)
    x = linear(layer_norm(x, p, 'backbone.ln1'), p, 'neck.decoder_embed')

    full = p['neck.mask_token'].expand(len(x), length, -1).clone()
    full[rows, order[:, :seen]] = x[:, 1:]  # unshuffled
    x = torch.cat([x[:, :1], full], 1) + p['neck.decoder_pos_embed']
    for i in range(DECODER_DEPTH):
        x = block(x, p, f'neck.decoder_blocks.{i}', DECODER_HEADS)
    prediction = linear(layer_norm(x, p, 'neck.ln1'), p, 'neck.decoder_pred')[:, 1:]

    mean, var = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
    error = (prediction - (patches - mean) / (var + 1e-6).sqrt()).pow(2).mean(-1)  # (B, L)
    mask = torch.ones_like(noise)
    mask[rows, order[:, :seen]] = 0
    return (error * mask).sum() / mask.sum()


def learning_rate(step):
    """Linear warm-up, which MMEngine ends with its last iteration, then half a cosine to 0."""
    warmup, total = WARMUP * PER_EPOCH, EPOCHS * PER_EPOCH
    if step < warmup:
        return LR * step / (warmup - 1)
    return LR * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


class AdamW:
    """Decoupled weight decay, on all but vectors and biases."""

    def __init__(self, params):
        self.params = params
        self.m, self.v = ({k: torch.zeros_like(x) for k, x in params.items()} for _ in range(2))

    @torch.no_grad()
    def step(self, t, grads, lr):
        for k, x in self.params.items():
            self.m[k] = BETA1 * self.m[k] + (1 - BETA1) * grads[k]
            self.v[k] = BETA2 * self.v[k] + (1 - BETA2) * grads[k] ** 2
            m, v = self.m[k] / (1 - BETA1**t), self.v[k] / (1 - BETA2**t)
            decay = 0.0 if x.ndim == 1 or k.endswith('.bias') else DECAY
            x -= lr * (m / (v.sqrt() + EPS) + decay * x)


# ------------------------------------------------------------------ our side
class Batches(torch.utils.data.Dataset):
    """Images of bytes, one view each, in a fixed order."""

    def __init__(self):
        rng = np.random.default_rng(0)
        low = rng.integers(0, 256, (B * PER_EPOCH, H // 4, W // 4, 3))
        self.images = (
            low.repeat(4, 1).repeat(4, 2) * 0.5 + rng.integers(0, 128, (B * PER_EPOCH, H, W, 3))
        ).astype(np.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return dict(inputs=[torch.from_numpy(self.images[i]).permute(2, 0, 1)])


class Watch(Hook):
    """Seeds every step's mask, notes loss and learning rate."""

    def __init__(self):
        self.losses, self.rates = [], []

    def before_train_iter(self, runner, *args, **kwargs):
        torch.manual_seed(100 + runner.iter)
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss_mae'].item())


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """Runner and reference after the same ten steps, and what each step gave."""
    recipe = Config.fromfile(str(find('mae_vit-b16_8xb512-coslr-800e_in1k')))
    torch.manual_seed(0)
    watch = Watch()
    wrapper = dict(recipe.optim_wrapper, type='OptimWrapper')
    wrapper['optimizer'] = dict(wrapper['optimizer'], lr=LR)
    warm, cosine = (dict(s) for s in recipe.param_scheduler)
    warm.update(end=WARMUP)
    cosine.update(T_max=EPOCHS - WARMUP, begin=WARMUP, end=EPOCHS)
    runner = Runner(
        model=dict(
            type='mssl_plugins.MAE',
            mask_ratio=RATIO,
            data_preprocessor=dict(type='mssl_plugins.ViewPreprocessor', mean=MEAN, std=STD),
            backbone=dict(
                type='mssl_plugins.ViT',
                img_size=(H, W),
                patch_size=P,
                arch=dict(
                    embed_dims=DIM, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=2 * DIM
                ),
            ),
            neck=dict(
                type='mssl_plugins.MAEDecoder',
                num_patches=(H // P, W // P),
                patch_size=P,
                embed_dim=DIM,
                decoder_embed_dim=WIDTH,
                decoder_depth=DECODER_DEPTH,
                decoder_num_heads=DECODER_HEADS,
            ),
        ),
        work_dir=str(tmp_path_factory.mktemp('mae')),
        train_dataloader=dict(
            dataset=Batches(),
            batch_size=B,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=EPOCHS),
        optim_wrapper=wrapper,
        param_scheduler=[warm, cosine],
        custom_hooks=[watch],
        default_hooks=dict(checkpoint=None),
        default_scope='mmpretrain',
        experiment_name='ten_steps_mae',
        log_level='ERROR',
    )
    runner.model.init_weights()
    with torch.no_grad():  # large, so that their decay shows within ten steps
        runner.model.backbone.cls_token.mul_(50)
        runner.model.neck.mask_token.mul_(50)
    start = {k: v.detach().clone() for k, v in runner.model.named_parameters()}
    runner.train()  # a model that is initialized stays as it is

    fixed = ('backbone.pos_embed', 'neck.decoder_pos_embed')
    trained = {k: v.requires_grad_() for k, v in start.items() if k not in fixed}
    optimizer, losses = AdamW(trained), []
    data = torch.from_numpy(Batches().images).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    for step in range(EPOCHS * PER_EPOCH):
        i = step % PER_EPOCH * B
        torch.manual_seed(100 + step)
        noise = torch.rand(B, H // P * (W // P))
        loss = mae_loss(start, (data[i : i + B] - mean) / std, noise)
        grads = dict(zip(trained, torch.autograd.grad(loss, list(trained.values()))))
        optimizer.step(step + 1, grads, learning_rate(step))
        losses.append(loss.item())
    ours = {k: v.detach() for k, v in runner.model.named_parameters()}
    return watch, losses, ours, {k: v.detach() for k, v in start.items()}


def test_learning_rates(both):
    watch, *_ = both
    assert len(watch.rates) == 10
    assert watch.rates == pytest.approx([learning_rate(i) for i in range(10)], abs=1e-8)


def test_losses(both):
    watch, losses, *_ = both
    assert len(watch.losses) == 10 and watch.losses[-1] < watch.losses[0]
    assert watch.losses == pytest.approx(losses, abs=1e-5)


def test_weights(both):
    _, _, ours, theirs = both
    assert ours.keys() == theirs.keys()
    for name in ours:
        a, b = ours[name], theirs[name]
        if name.endswith('attn.qkv.bias'):
            # a softmax does not see the keys' bias: its gradient is rounding, made large by AdamW
            d = len(a) // 3
            a, b = torch.cat([a[:d], a[2 * d :]]), torch.cat([b[:d], b[2 * d :]])
        assert (a - b).abs().max() < 1e-5, name
