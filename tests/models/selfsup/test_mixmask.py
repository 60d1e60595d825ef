"""MixMask against formulas written out pair by pair in float64."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from helpers.siamese import (
    BASES,
    TEMPERATURE,
    N,
    TinyBackbone,
    TinyNeck,
    TinyPredictor,
    build,
    views,
)
from mssl_plugins.models.layers.split_bn import SplitBatchNorm2d
from mssl_plugins.models.masking import GRIDS, block_grid, grid_mask
from mssl_plugins.models.selfsup.mixmask import MixMask
from mssl_plugins.registry import MODELS

ROOT = Path(__file__).parents[3]


# ---- the independent reference: plain loops over images and pairs ----
def unit(v):
    return [c / math.sqrt(sum(d * d for d in v)) for c in v]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def softmax_loss(positive, negatives):
    top = max([positive, *negatives])
    return top + math.log(sum(math.exp(v - top) for v in [positive, *negatives])) - positive


class Reference:
    """Encodes single images with the model's own layers, loops the rest."""

    def __init__(self, model, base):
        self.m, self.base = model, base

    def vector(self, net, image):
        with torch.no_grad():
            return net(image[None])[0][0].tolist()

    def student(self, image):
        return self.vector(lambda x: self.m.neck(self.m.backbone(x)), image)

    def teacher(self, image):
        net = self.m.encoder_k if self.base == 'MoCo' else self.m.target_net
        return self.vector(net.module, image)

    def predict(self, vector):
        with torch.no_grad():
            return self.m.head.predictor([torch.tensor([vector], dtype=torch.float64)])[0][
                0
            ].tolist()

    def pair(self, first, second, queue=None):
        """L(first, second) of two lists of images."""
        n = len(first)
        if self.base == 'MoCo':
            q = [unit(self.student(p)) for p in first]
            k = [unit(self.teacher(p)) for p in second]
            columns = queue.T.tolist()
            return (
                sum(
                    softmax_loss(
                        dot(q[i], k[i]) / TEMPERATURE, [dot(q[i], c) / TEMPERATURE for c in columns]
                    )
                    for i in range(n)
                )
                / n
            )
        if self.base == 'SimCLR':
            z = [unit(self.student(p)) for p in [*first, *second]]
            total = 0.0
            for i in range(2 * n):
                j = i + n if i < n else i - n
                total += softmax_loss(
                    dot(z[i], z[j]) / TEMPERATURE,
                    [dot(z[i], z[o]) / TEMPERATURE for o in range(2 * n) if o not in (i, j)],
                )
            return total / (2 * n)
        target = self.teacher if self.base == 'BYOL' else self.student
        weight = 2.0 if self.base == 'BYOL' else 0.5
        total = 0.0
        for a, b in ((first, second), (second, first)):
            for p, t in zip(a, b):
                total -= dot(unit(self.predict(self.student(p))), unit(target(t))) / n
        return weight * total


@pytest.mark.parametrize('mode', [None, 'mixmask', 'unmix', 'both'])
@pytest.mark.parametrize('base', BASES)
@pytest.mark.parametrize('seed', [3, 4])
def test_loss_equals_loops_over_pairs(base, mode, seed):
    model = build(base, mode)
    x1, x2 = views()
    queue = model.queue.clone() if base == 'MoCo' else None
    mixes = []  # what was really mixed, to rebuild every term image by image
    if mode:
        for name in ('mask', 'unmix'):

            def record(x, partner, name=name, real=getattr(model.mixing, name)):
                image, lam = real(x, partner)
                mixes.append((name, image, partner, lam))
                return image, lam

            setattr(model.mixing, name, record)
    torch.manual_seed(seed)
    losses = model.loss([x1, x2])
    got = sum(v.item() for k, v in losses.items() if k.startswith('loss'))
    total, logged = model.parse_losses(losses)
    assert logged['loss'].item() == total.item() == pytest.approx(got)

    ref = Reference(model, base)
    expected = ref.pair(list(x1), list(x2), queue)
    assert len(mixes) == {None: 0, 'mixmask': 1, 'unmix': 1, 'both': 2}[mode]
    for name, image, partner, lam in mixes:
        # row i of `other` is the mixed image whose second part is x1_i
        rows = [next(j for j in range(N) if torch.equal(partner[j], x1[i])) for i in range(N)]
        if name == 'unmix' or mode == 'mixmask':
            assert rows == list(range(N - 1, -1, -1))
        other = [image[j] for j in rows]
        expected += lam * ref.pair(list(image), list(x2), queue)
        expected += (1 - lam) * ref.pair(other, list(x2), queue)
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('pattern', GRIDS)
def test_one_mask_an_iteration_and_lambda_is_its_mean(pattern):
    mix = MixMask(pattern=pattern, grid=8)
    anchor, partner = torch.zeros(5, 3, 20, 28), torch.ones(5, 3, 20, 28)  # 8 does not divide them
    lams = set()
    for seed in range(20):
        torch.manual_seed(seed)
        image, lam = mix.mask(anchor, partner)
        assert all(torch.equal(image[0, 0], image[i, c]) for i in range(5) for c in range(3))
        assert lam == pytest.approx(1 - image[0, 0].double().mean().item(), abs=1e-6)
        lams.add(round(lam, 6))
    assert len(lams) > 1


def test_inverse_mask_is_the_reversed_batch():
    x = torch.randn(6, 3, 16, 16)
    torch.manual_seed(0)
    masked = grid_mask('block', 8, 0.5, (16, 16))
    torch.manual_seed(0)
    mix, _ = MixMask().mask(x, x.flip(0))
    inverse = torch.where(masked, x, x.flip(0))  # (1 - M) x + M reverse(x)
    assert torch.equal(mix.flip(0), inverse)
    pi = torch.randperm(6)
    torch.manual_seed(0)
    mix, _ = MixMask().mask(x, x[pi])
    back = mix[pi.argsort()]
    assert torch.equal(back[masked.expand_as(back)], x[masked.expand_as(x)])


def test_block_masks_follow_the_published_statistics():
    rng = np.random.default_rng(0)
    kept = np.array([(~block_grid(8, 0.5, rng)).sum() for _ in range(1000)])
    assert kept.max() <= 32
    assert 0.90 <= (kept == 32).mean() <= 0.99  # the specification says 95 %
    where = np.mean([~block_grid(8, 0.5, rng) for _ in range(500)], axis=0)
    assert where.min() > 0.15  # every cell is reached


def test_discrete_cells_are_independent():
    rng = np.random.default_rng(0)
    masks = np.stack([GRIDS['discrete'](8, 0.3, rng) for _ in range(2000)])
    assert masks.mean() == pytest.approx(0.3, abs=0.01)
    flat = masks.reshape(2000, -1).astype(float)
    correlation = np.corrcoef(flat.T) - np.eye(64)
    assert np.abs(correlation).max() < 0.12


def test_unmix_draws_mixup_and_cutmix():
    x, partner = torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)
    mixup = lams = 0
    for seed in range(400):
        torch.manual_seed(seed)
        image, lam = MixMask(mode='unmix', unmix_prob=0.5).unmix(x, partner)
        assert 1 - image.double().mean().item() == pytest.approx(lam, abs=1e-6)
        values = image.unique()
        is_mixup = not set(values.tolist()) <= {0.0, 1.0}
        mixup += is_mixup
        lams += lam
        if not is_mixup and image.any():  # CutMix pastes one rectangle
            ys, xs = image[0, 0].nonzero().T
            assert image[0, 0].sum() == (ys.max() - ys.min() + 1) * (xs.max() - xs.min() + 1)
    assert 0.42 < mixup / 400 < 0.58
    assert 0.42 < lams / 400 < 0.64  # clipping raises CutMix's lambda


def test_queue_wraps_when_the_batch_does_not_divide_it():
    model = build('MoCo')
    expected = model.queue.clone().T.tolist()
    pointer = 0
    for step in range(8):  # 6 keys into 16 places
        x1, x2 = views(seed=step)
        keys = model.embed_key(x2).z
        model.loss([x1, x2])
        for key in keys.tolist():
            expected[pointer] = key
            pointer = (pointer + 1) % 16
    assert torch.allclose(model.queue.T, torch.tensor(expected, dtype=torch.float64))
    assert int(model.queue_ptr) == pointer


def test_only_clean_keys_enter_the_queue():
    plain, mixed = build('MoCo'), build('MoCo', 'both')
    x = views()
    plain.loss(x), mixed.loss(x)
    assert torch.equal(plain.queue, mixed.queue)


def test_queue_too_short_says_so():
    with pytest.raises(ValueError, match='20 keys does not fit a queue of 16'):
        build('MoCo').loss(views(20))


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(grid=2), 'grid 2'),
        (dict(pattern='blok'), "did you mean 'block'"),
        (dict(mode='mixmusk'), "did you mean 'mixmask'"),
        (dict(ratio=1.0), 'ratio'),
        (dict(unmix_prob=2), 'unmix_prob'),
    ],
)
def test_wrong_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        MixMask(**kwargs)
    MixMask(pattern='discrete', grid=2)  # allowed


@pytest.mark.parametrize('base', BASES)
def test_batch_of_one(base):
    """Refused before a BN of a real network can complain."""
    cfg = Config.fromfile(
        ROOT / f'configs/mixmask/mixmask_{base.lower()}_resnet18_1xb64-coslr-8e_cifar10.py'
    )
    with pytest.raises(ValueError, match='at least 2 per process, got 1'):
        MODELS.build(cfg.model).train().loss([torch.zeros(1, 3, 32, 32)] * 2)


def test_teacher_moves_once_and_takes_no_gradient():
    model = build('BYOL', 'both')
    before = [p.clone() for p in model.target_net.module.parameters()]
    sum(v for k, v in model.loss(views()).items() if k.startswith('loss')).backward()
    assert all(p.grad is None for p in model.target_net.module.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.target_net.module.parameters()))
    model.target_net.momentum = 0.9
    students = [p for m in (model.backbone, model.neck) for p in m.parameters()]
    model.target_net.update()
    for old, new, student in zip(before, model.target_net.module.parameters(), students):
        assert torch.allclose(new, 0.9 * old + 0.1 * student)


def test_split_bn_equals_parts():
    torch.manual_seed(0)
    x = torch.randn(12, 3, 4, 4)
    split, plain = SplitBatchNorm2d(3, num_splits=4), nn.BatchNorm2d(3, momentum=0.1)
    nn.init.uniform_(split.weight)
    plain.load_state_dict(split.state_dict())
    expected, means = [], []
    for part in x.chunk(4):
        plain.running_mean.zero_()
        expected.append(plain(part))
        means.append(plain.running_mean.clone())
    assert torch.allclose(split(x), torch.cat(expected), atol=1e-6)
    assert torch.allclose(split.running_mean, torch.stack(means).mean(0), atol=1e-6)
    with pytest.raises(ValueError, match='cannot be split'):
        split(x[:6])
    split.eval()
    assert split(x[:6]).shape == (6, 3, 4, 4)


@pytest.mark.parametrize('base', BASES)
def test_base_equals_mmpretrain(base):
    """The plain base is mmpretrain's own class to the digit."""
    import mmpretrain.models.selfsup as theirs
    from mmengine.logging import MessageHub

    MessageHub.get_current_instance().update_info('max_iters', 10)
    ours = build(base)
    arguments = {k: v for k, v in BASES[base]().items()}
    peer = getattr(theirs, base)(backbone=TinyBackbone(), neck=TinyNeck(), **arguments).double()
    if hasattr(peer.head, 'predictor'):
        peer.head.predictor = TinyPredictor().double()
    missing = peer.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys
    for ema in ('encoder_k', 'target_net'):  # theirs moves inside the loss: m = 1 keeps it still
        if hasattr(peer, ema):
            getattr(peer, ema).momentum = 0.0
            getattr(peer, ema).avg_func = lambda *a, **k: None
    x = views(4)  # their queue must be a multiple of the batch
    assert ours.loss(x)['loss'].item() == pytest.approx(peer.loss(x, None)['loss'].item(), abs=1e-9)
