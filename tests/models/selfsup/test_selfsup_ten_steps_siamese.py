"""Ten training steps of each Siamese base equal a small implementation of its paper.

Ours: the shipped recipe at a small width, through the stock Runner with its
hooks, schedules and optimizer.  The reference: functions on a dict of weights
in plain torch, losses, SGD, Adam, schedules, EMA and queue written out.  Both
start from the same weights and see the same images; from ours the reference
also takes the order in which MoCo shuffles a batch.

In float64 the networks are as shipped and agree to 1e-8.  In float32 a ReLU input
that rounds to the other side of 0 changes a gradient by a finite amount, so there
GELU takes ReLU's place in both, with the learning rate that belongs to the batch:
1e-5.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/mixmask'
EPOCHS, ITERATIONS, SIZE, WIDTH = 5, 2, 16, 8  # ten steps
STEPS = EPOCHS * ITERATIONS
MEAN, STD = (
    torch.tensor(v).view(1, 3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
)


@dataclass(frozen=True)
class Case:
    """An arithmetic, and what it can be held to."""

    dtype: torch.dtype
    batch: int
    scale: float  # of the recipe's learning rate
    activation: type
    atol: float


CASES = dict(
    float64=Case(torch.float64, 16, 1.0, torch.nn.ReLU, 1e-8),
    float32=Case(torch.float32, 32, 32 / 512, torch.nn.GELU, 1e-5),
)


# ------------------------------------------------------------------------ ours
class Pairs(torch.utils.data.Dataset):
    """Fixed pairs of uint8 views; those of a batch differ, and so do batches."""

    def __init__(self, batch):
        g = torch.Generator().manual_seed(5)
        coarse = torch.rand(ITERATIONS * batch, 3, 4, 4, generator=g)  # what the views share
        image = F.interpolate(coarse, size=SIZE, mode='bilinear')
        self.views = [
            ((image + 0.3 * torch.rand(image.shape, generator=g)).clamp(0, 1) * 255).byte()
            for _ in range(2)
        ]

    def __len__(self):
        return len(self.views[0])

    def __getitem__(self, i):
        return dict(inputs=[view[i] for view in self.views])


class Snapshot(Hook):
    """Gives the model its arithmetic and keeps the weights from which training starts."""

    priority = 'VERY_LOW'

    def __init__(self, case):
        self.case = case

    def before_train(self, runner):
        runner.model.to(self.case.dtype)
        for module in list(runner.model.modules()):
            for name, child in module.named_children():
                if isinstance(child, torch.nn.ReLU):
                    setattr(module, name, self.case.activation())
        self.start = {k: v.clone() for k, v in runner.model.state_dict().items()}


def recipe(base, case):
    """The CIFAR-100 recipe, narrow, its warm-up and steps within ten iterations."""
    lr = 'steplr' if base in ('simclr', 'byol') else 'coslr'
    cfg = Config.fromfile(CONFIGS / f'{base}_resnet18_1xb512-{lr}-1000e_cifar100.py')
    cfg.model.backbone.update(stem_channels=WIDTH, base_channels=WIDTH)
    cfg.model.neck.in_channels = 8 * WIDTH
    for mlp in (cfg.model.neck, cfg.model.head.get('predictor', {})):
        if 'hid_channels' in mlp:
            mlp.hid_channels = 32
    if base == 'moco':
        cfg.model.queue_len = 5 * case.batch // 2  # wraps after the second step
    cfg.optim_wrapper.optimizer.lr *= case.scale
    if base == 'simsiam':
        cfg.default_hooks.predictor_lr.lr *= case.scale
        warm, cosine = cfg.param_scheduler
        warm.end = cosine.begin = 2
        cosine.update(T_max=EPOCHS - 2, end=EPOCHS)
    elif base == 'moco':
        cfg.param_scheduler[0].T_max = EPOCHS
    else:
        warm, steps = cfg.param_scheduler
        warm.update(start_factor=1 / 4, end=4)
        steps.milestones = [3, 4]
    cfg.train_cfg.max_epochs = EPOCHS
    del cfg.default_hooks['knn']
    return cfg


def train(base, case, folder, monkeypatch):
    """Ours: weights before and after, losses and learning rates, orders of MoCo's shuffle."""
    cfg, snapshot, orders = recipe(base, case), Snapshot(case), []
    draw = torch.randperm
    monkeypatch.setattr(
        torch, 'randperm', lambda *a, **k: orders.append(draw(*a, **k)) or orders[-1]
    )
    runner = Runner(
        cfg.model,
        str(folder),
        train_dataloader=DataLoader(Pairs(case.batch), case.batch),
        train_cfg=cfg.train_cfg,
        optim_wrapper=cfg.optim_wrapper,
        param_scheduler=cfg.param_scheduler,
        default_hooks=cfg.default_hooks,
        custom_hooks=[snapshot],
        default_scope='mmpretrain',
        randomness=cfg.randomness,
        experiment_name=folder.name,
        log_level='ERROR',
    )
    runner.train()
    history = {
        key: list(runner.message_hub.get_scalar(f'train/{key}').data[0]) for key in ('loss', 'lr')
    }
    return snapshot.start, runner.model.state_dict(), history, orders


# ------------------------------------------------------------------- reference
def norm(x, w, name, splits=1):
    """BatchNorm by the statistics of each part of the batch."""
    scale, shift = w.get(f'{name}.weight'), w.get(f'{name}.bias')
    return torch.cat(
        [
            F.batch_norm(part, None, None, scale, shift, training=True, eps=1e-5)
            for part in x.chunk(splits)
        ]
    )


def resnet18(x, w, prefix, splits, act):
    """ResNet-18, 3 x 3 stem of stride 1, no max-pool, average: (N, 3, H, W) -> (N, C)."""

    def conv(x, name, **kwargs):
        return F.conv2d(x, w[f'{prefix}{name}.weight'], **kwargs)

    x = act(norm(conv(x, 'conv1', padding=1), w, f'{prefix}bn1', splits))
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f'layer{stage}.{block}', 2 if stage > 1 and block == 0 else 1
            y = act(
                norm(
                    conv(x, f'{name}.conv1', stride=stride, padding=1),
                    w,
                    f'{prefix}{name}.bn1',
                    splits,
                )
            )
            y = norm(conv(y, f'{name}.conv2', padding=1), w, f'{prefix}{name}.bn2', splits)
            if stride == 2:
                x = norm(
                    conv(x, f'{name}.downsample.0', stride=2),
                    w,
                    f'{prefix}{name}.downsample.1',
                    splits,
                )
            x = act(x + y)
    return x.mean((2, 3))


def linear(x, w, name):
    x = x @ w[f'{name}.weight'].T
    return x + w[f'{name}.bias'] if f'{name}.bias' in w else x


def unit(x):
    return x / x.square().sum(1, keepdim=True).sqrt()


def cross_entropy(logits, target):
    return (logits.logsumexp(1) - logits[torch.arange(len(logits)), target]).mean()


class Method:
    """Weights, losses and updates of one base; subclasses are its paper."""

    splits, last_norm, teacher = 1, False, None

    def __init__(self, start, orders, case):
        self.act, self.scale = case.activation(), case.scale
        self.all = {k: v.clone() for k, v in start.items()}
        self.orders = iter(orders)
        self.w = {
            k: v.requires_grad_()
            for k, v in self.all.items()
            if k.startswith(('backbone.', 'neck.', 'head.')) and k.endswith(('weight', 'bias'))
        }
        self.state = {k: {} for k in self.w}
        if self.teacher:
            self.t = {
                k: v
                for k, v in self.all.items()
                if k.startswith(self.teacher) and k.endswith(('weight', 'bias'))
            }

    def mlp(self, x, w, name, last_norm=False):
        """Linear-BN-ReLU-Linear(-BN)."""
        x = linear(self.act(norm(linear(x, w, f'{name}.fc0'), w, f'{name}.bn0')), w, f'{name}.fc1')
        return norm(x, w, f'{name}.bn1') if last_norm else x

    def encode(self, x, w, backbone='backbone.', neck='neck'):
        return self.mlp(resnet18(x, w, backbone, self.splits, self.act), w, neck, self.last_norm)

    def step(self, i, views):
        loss = self.loss(*views)
        grads = torch.autograd.grad(loss, list(self.w.values()))
        with torch.no_grad():
            for (name, p), g in zip(self.w.items(), grads):
                self.update(
                    self.state[name],
                    p,
                    g,
                    self.scale * (self.lr(i) if 'predictor' not in name else self.predictor_lr(i)),
                )
            if self.teacher:
                m = self.momentum(i)
                for (
                    name,
                    t,
                ) in self.t.items():  # '<teacher>.module.0.' is the backbone, '1.' the neck
                    own = name.removeprefix(f'{self.teacher}.module.')
                    own = ('backbone', 'neck')[int(own[0])] + own[1:]
                    if own in self.w:
                        t.copy_(m * t + (1 - m) * self.w[own])
        return loss.item()

    def predictor_lr(self, i):
        return self.lr(i)


class SGD(Method):
    """SGD with momentum 0.9 and weight decay 5e-4."""

    def update(self, state, p, g, lr):
        g = g + 5e-4 * p
        state['v'] = 0.9 * state['v'] + g if 'v' in state else g
        p -= lr * state['v']


class Adam(Method):
    """Adam with L2 1e-6; warm-up over 4 iterations, then 0.003, x 0.2 after epochs 3 and 4."""

    def update(self, state, p, g, lr):
        g = g + 1e-6 * p
        n = state['n'] = state.get('n', 0) + 1
        state['m'] = 0.9 * state.get('m', 0) + 0.1 * g
        state['s'] = 0.999 * state.get('s', 0) + 0.001 * g**2
        p -= lr * (state['m'] / (1 - 0.9**n)) / ((state['s'] / (1 - 0.999**n)).sqrt() + 1e-8)

    def lr(self, i):
        epoch = i // ITERATIONS
        return 0.003 * min((i + 1) / 4, 1) * (0.2 if epoch >= 3 else 1) * (0.2 if epoch >= 4 else 1)


class MoCo(SGD):
    """arXiv 1911.05722, Algorithm 1, after the step of the CIFAR code: m 0.99, T 0.1, SplitBN."""

    splits, teacher = 8, 'encoder_k'

    def __init__(self, *args):
        super().__init__(*args)
        self.queue, self.pointer = self.all['queue'], 0

    def encode(self, x, w, backbone='backbone.', neck='neck'):
        return unit(linear(resnet18(x, w, backbone, self.splits, self.act), w, f'{neck}.fc'))

    def loss(self, x1, x2):
        q = self.encode(x1, self.w)
        with torch.no_grad():
            order = next(self.orders)
            shuffled = self.encode(x2[order], self.t, 'encoder_k.module.0.', 'encoder_k.module.1')
            k = torch.empty_like(shuffled)
            k[order] = shuffled
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue], 1) / 0.1
        loss = cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
        self.queue = self.queue.clone()
        for key in k:
            self.queue[:, self.pointer] = key
            self.pointer = (self.pointer + 1) % self.queue.shape[1]
        return loss

    def lr(self, i):
        return 0.06 * (1 + math.cos(math.pi * i / STEPS)) / 2

    def momentum(self, i):
        return 0.99


class SimCLR(Adam):
    """arXiv 2002.05709, Algorithm 1: T 0.5, both views in one pass."""

    last_norm = True

    def loss(self, x1, x2):
        z = unit(self.encode(torch.cat([x1, x2]), self.w))
        similarity = z @ z.T / 0.5
        similarity = similarity - torch.diag(torch.full((len(z),), float('inf')))
        return cross_entropy(similarity, torch.arange(len(z)).roll(len(x1)))


class BYOL(Adam):
    """arXiv 2006.07733, equations 1 and 2, without the constant 4: m 0.99 -> 1."""

    teacher = 'target_net'

    def loss(self, x1, x2):
        total = 0
        with torch.no_grad():
            targets = [
                self.encode(x, self.t, 'target_net.module.0.', 'target_net.module.1')
                for x in (x1, x2)
            ]
        for x, target in ((x1, targets[1]), (x2, targets[0])):
            prediction = self.mlp(self.encode(x, self.w), self.w, 'head.predictor')
            total = total + ((unit(prediction) - unit(target)) ** 2).sum(1).mean()
        return total - 4

    def momentum(self, i):
        return 1 - (1 - 0.99) * (math.cos(math.pi * i / STEPS) + 1) / 2


class SimSiam(SGD):
    """arXiv 2011.10566, Algorithm 1: lr 0.06 after 2 warm-up epochs, the predictor's constant."""

    last_norm = True  # without affine: the weights hold none

    def loss(self, x1, x2):
        z1, z2 = self.encode(x1, self.w), self.encode(x2, self.w)
        p1, p2 = (self.mlp(z, self.w, 'head.predictor') for z in (z1, z2))
        cosine = [(unit(p) * unit(z.detach())).sum(1).mean() for p, z in ((p1, z2), (p2, z1))]
        return -sum(cosine) / 2

    def lr(self, i):
        warmup = 2 * ITERATIONS
        if i < warmup:
            return 0.06 * (1e-4 + (1 - 1e-4) * i / (warmup - 1))
        return 0.06 * (1 + math.cos(math.pi * (i - warmup) / (STEPS - warmup))) / 2

    def predictor_lr(self, i):
        return 0.06


def undone(name, base):
    """Whether BatchNorm undoes a bias: its gradient is rounding, as large as lr after Adam."""
    before = dict(SimCLR=('fc0', 'fc1'), BYOL=('neck.fc0', 'neck.fc1', 'predictor.fc0', '1.fc'))
    return name.endswith('.bias') and any(part in name for part in before.get(base, ()))


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
@pytest.mark.parametrize('method', [MoCo, SimCLR, BYOL, SimSiam])
def test_ten_steps(method, case, tmp_path, monkeypatch):
    batch, close = case.batch, dict(rtol=0, atol=case.atol)
    start, end, history, orders = train(method.__name__.lower(), case, tmp_path, monkeypatch)
    pairs = [(view.to(case.dtype) - MEAN) / STD for view in Pairs(batch).views]
    reference = method(start, orders, case)
    for i in range(STEPS):
        first = i % ITERATIONS * batch
        assert history['lr'][i] == pytest.approx(case.scale * reference.lr(i), rel=1e-6), i
        loss = reference.step(i, [view[first : first + batch] for view in pairs])
        assert history['loss'][i] == pytest.approx(loss, abs=case.atol), i
    weights = {**reference.w, **getattr(reference, 't', {})}
    assert set(weights) == {name for name, _ in end.items() if name.endswith(('weight', 'bias'))}
    for name, weight in weights.items():
        assert end[name].dtype == case.dtype
        if case.dtype == torch.float64 or not undone(name, method.__name__):
            torch.testing.assert_close(
                end[name], weight.detach(), msg=lambda text, name=name: f'{name}: {text}', **close
            )
    moved = {name: float((end[name] - start[name]).abs().max()) for name in weights}
    for name in reference.w:  # ten steps went somewhere
        assert moved[name] > 1e-4 or undone(name, method.__name__), name
    assert max(moved[name] for name in getattr(reference, 't', weights)) > 2 * case.atol
    if method is MoCo:
        torch.testing.assert_close(end['queue'], reference.queue, **close)
        assert len(orders) == STEPS
        assert end['queue_ptr'].item() == STEPS * batch % (5 * batch // 2)
