"""MaskCo: the loss against plain loops in float64."""

import math

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from helpers.maskco import (
    CHANNELS,
    DIM,
    KEYS,
    SIZE,
    STRIDE,
    batch,
    build,
    perturb_teacher,
)
from mssl_plugins.models.masking import box_mask


@pytest.mark.parametrize('fill', ['mean', 'noise', 'image_mean', 'none'])
def test_fill_touches_exactly_the_masked_box(fill):
    model = build(fill=fill)
    (x, _), samples = batch(6)
    boxes, _ = model.boxes(samples, x)
    before = x.clone()
    filled = model.mask(x, boxes)
    assert torch.equal(x, before)  # a copy
    for i in range(6):
        x0, y0, x1, y1 = boxes[i].long().tolist()
        inside = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
        inside[:, y0:y1, x0:x1] = True
        assert torch.equal(filled[i][~inside], x[i][~inside])
        values = filled[i][inside]
        if fill == 'none':
            assert torch.equal(filled[i], x[i])
            continue
        assert (values != x[i][inside]).all()
        if fill == 'mean':
            assert (values == 0).all()
        elif fill == 'image_mean':
            mean = x[i].mean((1, 2))[:, None].expand(3, (y1 - y0) * (x1 - x0)).flatten()
            assert torch.allclose(values, mean)
        else:
            assert len(values.unique()) == len(values)


def test_box_mask_counts():
    mask = box_mask(torch.tensor([[2.0, 3.0, 7.0, 5.0], [0.0, 0.0, 8.0, 6.0]]), (6, 8))
    assert mask.shape == (2, 1, 6, 8) and mask.dtype == torch.bool
    assert mask.sum((1, 2, 3)).tolist() == [10, 48]
    assert mask[0, 0, 3:5, 2:7].all()


def bilinear(grid, y, x):
    """Value of (h, w) at a point whose pixel centers lie on whole numbers."""
    h, w = len(grid), len(grid[0])
    if y < -1 or y > h or x < -1 or x > w:
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), h - 1), min(int(x), w - 1)
    y, x = min(y, float(h - 1)), min(x, float(w - 1))
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    fy, fx = y - top, x - left
    return (1 - fy) * ((1 - fx) * grid[top][left] + fx * grid[top][right]) + fy * (
        (1 - fx) * grid[bottom][left] + fx * grid[bottom][right]
    )


def region_mean(grid, box, scale, bins=3):
    """Mask R-CNN's RoIAlign with half-pixel centers, averaged over the bins."""
    x0, y0, x1, y1 = (v * scale - 0.5 for v in box)
    high, wide = (y1 - y0) / bins, (x1 - x0) / bins
    ny, nx = math.ceil(high), math.ceil(wide)
    total = 0.0
    for by in range(bins):
        for bx in range(bins):
            for iy in range(ny):
                for ix in range(nx):
                    total += bilinear(
                        grid, y0 + (by + (iy + 0.5) / ny) * high, x0 + (bx + (ix + 0.5) / nx) * wide
                    ) / (ny * nx)
    return total / bins**2


def unit(v):
    length = math.sqrt(sum(c * c for c in v))
    return [c / length for c in v]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def vector(net, mph, head, image, box):
    with torch.no_grad():
        grid = mph((net(image[None])[0],))[-1][0].tolist()
    pooled = [region_mean(channel, box, 1 / STRIDE) for channel in grid]
    first, last = head.mlp[0], head.mlp[2]
    hidden = [
        max(dot(row, pooled) + b, 0.0) for row, b in zip(first.weight.tolist(), first.bias.tolist())
    ]
    return unit([dot(row, hidden) + b for row, b in zip(last.weight.tolist(), last.bias.tolist())])


def iou(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    return both / sum([(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)], -both)


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(intra=True),
        dict(intra=True, max_iou=0.2),
        dict(mph_on_key=False),
        dict(neck=None, fill='none'),
        dict(fill='image_mean', temperature=0.5),
        dict(
            neck=dict(
                type='mssl_plugins.MPH',
                in_channels=CHANNELS,
                kind='conv',
                hidden_channels=4,
                norm_cfg=dict(type='GN', num_groups=2),
            )
        ),
    ],
    ids=['plain', 'in', 'in-iou', 'query-only', 'no-mph-no-mask', 'image-mean', 'conv'],
)
def test_logits_and_loss_equal_loops(settings):
    model = perturb_teacher(build(**settings).double())
    n, t = 3, model.temperature
    (xq, xk), samples = batch(n)
    got = {}
    logits = model.logits
    model.logits = lambda *args: got.setdefault('logits', logits(*args))
    loss = model.loss([xq, xk], samples)['loss'].item()

    key = model.encoder_k.module
    queries, keys = [], []
    for i in range(n):
        image, box = xq[i].clone(), samples[i].masked_box.tolist()
        x0, y0, x1, y1 = map(int, box)
        for c in range(3):
            if model.fill != 'none':
                image[c, y0:y1, x0:x1] = 0.0 if model.fill == 'mean' else float(xq[i, c].mean())
        queries.append(vector(model.backbone, model.neck, model.head, image, box))
        mph = key.mph if settings.get('mph_on_key', True) else lambda x: x
        keys.append(
            [vector(key.backbone, mph, key.head, xk[i], b) for b in samples[i].key_boxes.tolist()]
        )
    total = 0.0
    for i in range(n):
        row = [dot(queries[i], keys[i][0]) / t]
        row += [dot(queries[i], keys[j][b]) / t for j in range(n) if j != i for b in range(1, KEYS)]
        if model.intra:
            boxes = samples[i].key_boxes.tolist()
            row += [
                dot(queries[i], keys[i][b]) / t
                if model.max_iou is None or iou(boxes[0], boxes[b]) <= model.max_iou
                else -math.inf
                for b in range(1, KEYS)
            ]
        assert got['logits'][i].tolist() == pytest.approx(row, abs=1e-9)
        total += math.log(sum(math.exp(v) for v in row)) - row[0]
    assert loss == pytest.approx(total / n, abs=1e-9)
    if model.max_iou is not None:  # some are dropped, some stay
        dropped = got['logits'].isinf()
        assert dropped.any() and not dropped[:, 1 + (KEYS - 1) * (n - 1) :].all()


@pytest.mark.parametrize('intra, negatives', [(False, 496), (True, 512)])
def test_negatives_at_batch_32(intra, negatives):
    q, k = torch.randn(32, DIM), torch.randn(32, 17, DIM)
    k[:, 0] = 100 * q  # a positive of another image among the negatives would stand out
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(32, 17, 4)
    logits = build(intra=intra, temperature=1.0).logits(q, k, boxes)
    assert logits.shape == (32, 1 + negatives)
    others = [
        sorted(((q[i] @ k[j, 1:].T).tolist() for j in range(32) if intra or j != i))
        for i in range(32)
    ]
    for row, values in zip(logits, others):
        assert sorted(row[1:].tolist()) == pytest.approx(
            sorted(v for r in values for v in r), abs=1e-4
        )


def test_batch_of_one():
    x, samples = batch(1, dtype=torch.float32)
    with pytest.raises(ValueError, match='batch of 1.*intra=True'):
        build().loss(x, samples)
    assert build(intra=True).loss(x, samples)['loss'].isfinite()


def test_unmasked_identical_views_give_equal_features():
    model = build(neck=None, fill='none')
    (x, _), samples = batch(4, dtype=torch.float32)
    boxes, _ = model.boxes(samples, x)
    assert torch.allclose(model.query(x, boxes), model.keys(x, boxes[:, None])[:, 0], atol=1e-6)
    # a view and its mirror image, for a network that mirrors with it
    model.backbone.conv.weight.data = (
        model.backbone.conv.weight + model.backbone.conv.weight.flip(3)
    ) / 2
    model.encoder_k.module.backbone.load_state_dict(model.backbone.state_dict())
    odd = torch.randn(4, 3, 33, 33)  # the strided grid is its own mirror image
    flipped = boxes.clone()
    flipped[:, [0, 2]] = 33 - boxes[:, [2, 0]]
    scale = 9 / 36  # of the padded extent: 9 cells of 4 px
    a = model.head.pool(model.backbone(odd)[0], boxes[:, None] + 1.5, scale)
    b = model.head.pool(model.backbone(odd.flip(3))[0], (flipped + 1.5)[:, None], scale)
    assert torch.allclose(a, b, atol=1e-5)


def test_no_gradient_to_the_key_branch_and_the_teacher_moves_outside():
    model = build()
    x, samples = batch(3, dtype=torch.float32)
    x[1].requires_grad_()
    before = [p.clone() for p in model.encoder_k.module.parameters()]
    model.loss(x, samples)['loss'].backward()
    assert x[1].grad is None
    assert all(p.grad is None for p in model.encoder_k.parameters())
    assert all(
        p.grad is not None
        for p in (*model.backbone.parameters(), *model.neck.parameters(), *model.head.parameters())
    )
    assert all(torch.equal(a, b) for a, b in zip(before, model.encoder_k.module.parameters()))
    perturb_teacher(model)
    before = [p.clone() for p in model.encoder_k.module.parameters()]
    model.encoder_k.momentum = 0.9
    model.encoder_k.update()
    students = [p for m in (model.backbone, model.neck, model.head) for p in m.parameters()]
    for old, new, student in zip(before, model.encoder_k.module.parameters(), students):
        assert torch.allclose(new, 0.9 * old + 0.1 * student)


def test_loss_is_float32_under_autocast():
    model = build()
    x, samples = batch(3, dtype=torch.float32)
    plain = model.loss(x, samples)['loss']
    with torch.autocast('cpu', torch.bfloat16):
        q = model.query(x[0], model.boxes(samples, x[0])[0])
        loss = model.loss(x, samples)['loss']
    assert q.dtype == loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain.item(), rel=0.05)
    loss.backward()


def test_shuffled_bn_gives_the_rows_back():
    from mssl_plugins.models.selfsup.maskco import shuffled

    x, samples = batch(8, dtype=torch.float32)
    model = build()
    _, boxes = model.boxes(samples, x[0])
    assert torch.allclose(
        shuffled(model.encoder_k, (x[1], boxes), split_bn=True),
        model.encoder_k(x[1], boxes),
        atol=1e-6,
    )
    # with statistics of parts of the batch the order matters
    resnet = dict(
        type='mmpretrain.ResNet',
        depth=18,
        base_channels=4,
        stem_channels=4,
        norm_cfg=dict(type='mssl_plugins.SplitBN', num_splits=4),
    )
    head = dict(type='mssl_plugins.RoIHead', in_channels=32, hid_channels=8, out_channels=4)
    model = build(backbone=resnet, neck=None, head=head)
    assert model.split_bn
    plain = model.encoder_k(x[1], boxes)
    assert not torch.allclose(model.keys(x[1], boxes), plain, atol=1e-6)
    model.shuffle_bn = False
    assert torch.equal(model.keys(x[1], boxes), plain)


@pytest.mark.parametrize(
    'backbone, channels',
    [
        # 8 channels at least: with 4, channels_last of torch 2.11 corrupts memory on CPU
        (dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8), 64),
        (
            dict(
                type='mmpretrain.VisionTransformer',
                arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
                img_size=64,
                patch_size=16,
                out_type='featmap',
            ),
            16,
        ),
    ],
)
def test_backbones_with_a_map(backbone, channels):
    model = build(
        backbone=backbone,
        neck=None,
        channels_last=True,
        head=dict(
            type='mssl_plugins.RoIHead', in_channels=channels, hid_channels=8, out_channels=4
        ),
    )
    x, samples = batch(2, dtype=torch.float32, size=64)
    model.loss(x, samples)['loss'].backward()
    keys = model.state_dict()
    assert any(k.startswith('backbone.') for k in keys)
    assert len([k for k in keys if k.startswith('backbone.')]) == len(model.backbone.state_dict())


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(fill='men'), "did you mean 'mean'"),
        (dict(temperature=0.0), 'temperature'),
        (dict(max_iou=0.5), 'intra=True'),
        (dict(intra=True, max_iou=2), 'max_iou'),
        (
            dict(neck=dict(type='mssl_plugins.MPH', in_channels=8, kind='transformr')),
            "did you mean 'transformer'",
        ),
        (dict(neck=dict(type='mssl_plugins.MPH', in_channels=8, depth=0)), 'depth'),
        (dict(neck=dict(type='mssl_plugins.MPH', in_channels=8, hidden_channels=6)), 'divisible'),
        (
            dict(neck=dict(type='mssl_plugins.MPH', in_channels=8, kind='conv', hidden_channels=3)),
            'divide',
        ),
    ],
)
def test_wrong_model_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        build(**kwargs)


def test_wrong_inputs():
    x, samples = batch(2, dtype=torch.float32)
    with pytest.raises(ValueError, match='2 views, got 1'):
        build().loss(x[:1], samples)
    with pytest.raises(KeyError, match='MaskCoViews'):
        build().loss(x, [DataSample()] * 2)
    with pytest.raises(ValueError, match='set in_channels=8'):
        build(neck=dict(type='mssl_plugins.MPH', in_channels=16)).loss(x, samples)

    class Vectors(nn.Module):
        def forward(self, x):
            return (x.mean((2, 3)),)

    with pytest.raises(ValueError, match="out_type='featmap'"):
        build(backbone=Vectors()).loss(x, samples)
