"""MaskCo: geometry over random views, and the loss against plain loops in float64."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.structures import DataSample
from torch import nn

from helpers.forked import server
from mssl_plugins.datasets.transforms import views as views_module
from mssl_plugins.datasets.transforms.geometry import boxes_to_image
from mssl_plugins.datasets.transforms.maskco_views import MaskCoViews
from mssl_plugins.datasets.transforms.pack import PackViews
from mssl_plugins.models.masking import box_mask
from mssl_plugins.registry import MODELS, TRANSFORMS

SIZE, STRIDE, CHANNELS, DIM, KEYS = 32, 4, 8, 6, 5


class TinyBackbone(nn.Module):
    """No BatchNorm: a picture's map depends on that picture alone."""

    def __init__(self, channels=CHANNELS, stride=STRIDE):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, stride + 1, stride, padding=stride // 2)

    def forward(self, x):
        return (torch.tanh(self.conv(x)),)


def build(**kwargs):
    torch.manual_seed(0)
    settings = dict(
        backbone=TinyBackbone(),
        neck=dict(type='mssl_plugins.MPH', in_channels=CHANNELS, hidden_channels=8, num_heads=2),
        head=dict(
            type='mssl_plugins.RoIHead', in_channels=CHANNELS, hid_channels=12, out_channels=DIM
        ),
    )
    model = MODELS.build(dict(type='mssl_plugins.MaskCo', **{**settings, **kwargs}))
    model.encoder_k.sync()
    return model


def perturb_teacher(model):
    for p in model.encoder_k.module.parameters():
        p.data += 0.2 * torch.randn_like(p)
    model.encoder_k.steps += 1
    return model


def batch(n, keys=KEYS, dtype=torch.float64, seed=1, size=SIZE):
    rng = np.random.default_rng(seed)
    g = torch.Generator().manual_seed(seed)
    transform = MaskCoViews([dict(num=2, size=size)], num_boxes=keys - 1, stride=STRIDE)
    samples = []
    for _ in range(n):
        out = transform(dict(img=rng.integers(0, 256, (40, 52, 3), dtype=np.uint8), rng=rng))
        sample = DataSample()
        for key in ('masked_box', 'key_boxes'):
            sample.set_field(torch.from_numpy(out[key]), key)
        samples.append(sample)
    return [torch.randn(n, 3, size, size, generator=g, dtype=dtype) for _ in range(2)], samples


# ---------------------------------------------------------------- geometry
PAIRS = 3400  # for each of three settings


@pytest.mark.parametrize(
    'settings',
    [
        dict(views=[dict(num=2, size=224)], images=(120, 900)),
        dict(
            views=[dict(size=96), dict(size=160, scale=(0.08, 0.5), flip=1.0)],
            images=(60, 200),
            overlap=0.0,
            min_cells=1,
        ),
        dict(views=[dict(num=2, size=32, crop='pad', padding=4)], images=(32, 33), stride=4),
    ],
)
def test_both_views_lead_back_to_the_same_region(settings, monkeypatch):
    """Over 10,000 pairs of random views in all, flips and images of every shape."""
    monkeypatch.setattr(views_module.ViewGroup, 'render', lambda *args: None)
    images = settings.pop('images')
    transform = MaskCoViews(**settings)
    sizes = [group.size for group in transform.groups]
    least = transform.query_sampler.least
    rng = np.random.default_rng(0)
    flips, shared, distance = set(), 0, 0.0
    for _ in range(PAIRS):
        h, w = rng.integers(*images, size=2)
        out = transform(dict(img=np.broadcast_to(np.uint8(0), (h, w, 3)), rng=rng))
        masked, boxes = out['masked_box'], out['key_boxes']
        crops, flip = out['view_boxes'], out['view_flips']
        flips.add(tuple(flip.tolist()))
        shared += (crops[0] == crops[1]).all()
        sides = [
            boxes_to_image(b[None], crops[i], flip[i], sizes[i])[0]
            for i, b in ((0, masked), (1, boxes[0]))
        ]
        distance = max(distance, np.abs(sides[0] - sides[1]).max())
        assert boxes.shape == (17, 4)
        assert (
            (boxes >= 0).all() and (boxes <= sizes[1]).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        )
        # the limits, exactly, of the masked box and of the negatives
        for box, size in [(masked, sizes[0])] + [(b, sizes[1]) for b in boxes[1:]]:
            assert (box == box.round()).all() and (box >= 0).all() and (box <= size).all()
            bw, bh = box[2:] - box[:2]
            assert 0.1 * size**2 <= bw * bh <= 0.4 * size**2
            assert 0.5 <= bw / bh <= 2 and min(bw, bh) >= least
    assert distance < 1e-4
    assert len(flips) == (2 if len(settings['views']) == 2 else 4)
    assert shared < 0.3 * PAIRS  # mostly two crops of their own


def test_region_is_the_same_pixels():
    """The masked region of the image itself, painted, shows up under both boxes."""
    transform = MaskCoViews([dict(num=2, size=64, scale=(0.3, 1.0))], stride=8)
    plain = np.zeros((200, 240, 3), np.uint8)
    seen = 0
    for seed in range(40):
        out = transform(dict(img=plain, rng=np.random.default_rng(seed)))
        region = boxes_to_image(
            out['masked_box'][None], out['view_boxes'][0], out['view_flips'][0], 64
        )[0]
        x0, y0, x1, y1 = region.round().astype(int)
        painted = plain.copy()
        painted[y0:y1, x0:x1] = 255
        again = transform(dict(img=painted, rng=np.random.default_rng(seed)))  # the same draws
        for view, box in zip(again['img'], (again['masked_box'], again['key_boxes'][0])):
            ys, xs = np.nonzero(view[..., 0] > 127)
            found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            scale = 64 / (again['view_boxes'][:, 2:] - again['view_boxes'][:, :2]).min()
            assert np.abs(found - box).max() <= 1 + 0.5 * scale
            seen += 1
    assert seen == 80


def test_too_far_apart_takes_the_same_crop():
    tiny = dict(num=2, size=64, scale=(0.01, 0.01))
    far = MaskCoViews([tiny], stride=8, overlap=1.0)
    out = far(dict(img=np.zeros((400, 400, 3), np.uint8), rng=np.random.default_rng(0)))
    assert (out['view_boxes'][0] == out['view_boxes'][1]).all()
    crops = []
    original = views_module.Views.draw_boxes
    near = MaskCoViews([tiny], stride=8, overlap=1.0, tries=3)
    try:
        views_module.Views.draw_boxes = lambda *args: crops.append(original(*args)) or crops[-1]
        near(dict(img=np.zeros((400, 400, 3), np.uint8), rng=np.random.default_rng(1)))
    finally:
        views_module.Views.draw_boxes = original
    assert len(crops) == 3


def test_packed_and_collated():
    pipeline = [
        TRANSFORMS.build(
            dict(type='mssl_plugins.MaskCoViews', views=[dict(num=2, size=64)], stride=16)
        ),
        PackViews(keys=('masked_box', 'key_boxes')),
    ]
    samples = []
    for seed in range(3):
        results = dict(img=np.full((80, 90, 3), seed, np.uint8), rng=np.random.default_rng(seed))
        for step in pipeline:
            results = step(results)
        samples.append(results)
    data = default_collate(samples)
    assert [tuple(v.shape) for v in data['inputs']] == [(3, 3, 64, 64)] * 2
    model = build()
    masked, keys = model.boxes(data['data_samples'], data['inputs'][0].float())
    assert masked.shape == (3, 4) and keys.shape == (3, 17, 4)


def test_views_are_a_function_of_seed_epoch_and_index():
    from mssl_plugins.datasets.sampler import SampleIndex

    transform = MaskCoViews([dict(num=2, size=64)], stride=16)
    img = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)

    def run(epoch):
        return transform(dict(img=img, sample_idx=SampleIndex(3, seed=1, epoch=epoch)))

    a, b, c = run(0), run(0), run(1)
    assert (a['key_boxes'] == b['key_boxes']).all() and (a['img'][0] == b['img'][0]).all()
    assert (a['key_boxes'] != c['key_boxes']).any()


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(views=[dict(num=3, size=224)]), '2 views'),
        (dict(overlap=2), 'overlap'),
        (dict(area=(0.4, 0.1)), 'area'),
        (dict(aspect=(0, 1)), 'aspect'),
        (dict(tries=0), 'tries'),
        (dict(stride=64, min_cells=3), 'smaller stride'),
        (dict(num_boxes=0), 'num_boxes'),
    ],
)
def test_wrong_view_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        MaskCoViews(**{**dict(views=[dict(num=2, size=224)]), **kwargs})


# -------------------------------------------------------------------- fill
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


# ------------------------------------------- reference: plain loops, float64
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


def vector(net, mph, head, picture, box):
    with torch.no_grad():
        grid = mph((net(picture[None])[0],))[-1][0].tolist()
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
        picture, box = xq[i].clone(), samples[i].masked_box.tolist()
        x0, y0, x1, y1 = map(int, box)
        for c in range(3):
            if model.fill != 'none':
                picture[c, y0:y1, x0:x1] = 0.0 if model.fill == 'mean' else float(xq[i, c].mean())
        queries.append(vector(model.backbone, model.neck, model.head, picture, box))
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


# ------------------------------------------------------------------- parts
@pytest.mark.parametrize('kind', ['transformer', 'conv'])
def test_mph_keeps_the_map(kind):
    mph = MODELS.build(
        dict(type='mssl_plugins.MPH', in_channels=8, kind=kind, hidden_channels=4, num_heads=2)
    )
    x = torch.randn(2, 8, 5, 7, requires_grad=True)
    (y,) = mph((x,))
    assert y.shape == x.shape
    y.sum().backward()
    assert all(p.grad is not None for p in mph.parameters())


def test_mph_position_follows_the_map():
    """Equal features, told apart by row and column only."""
    mph = MODELS.build(
        dict(type='mssl_plugins.MPH', in_channels=8, hidden_channels=8, num_heads=2)
    ).eval()
    mph.layers = nn.Identity()
    mph.norm = nn.Identity()
    mph.inward.weight.data.zero_()
    mph.inward.bias.data.zero_()
    mph.outward.weight.data = torch.eye(8)
    mph.outward.bias.data.zero_()
    (y,) = mph((torch.zeros(1, 8, 3, 5),))
    omega = [1.0, 0.01]
    for i in range(3):
        for j in range(5):
            row = [f(i * o) for f in (math.sin, math.cos) for o in omega]
            column = [f(j * o) for f in (math.sin, math.cos) for o in omega]
            assert y[0, :, i, j].tolist() == pytest.approx(row + column, abs=1e-6)


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


# ---------------------------------------------------------------- pictures
def test_boxes_are_drawn_where_they_are():
    from mssl_plugins.visualization.boxes import MASKED, NEGATIVE, draw_boxes

    views = [np.full((32, 32, 3), value, np.uint8) for value in (200, 90)]
    keys = np.array([[8.0, 8.0, 16.0, 24.0], [0.0, 0.0, 8.0, 8.0]])
    image = draw_boxes(views, np.array([4, 4, 20, 12]), keys, tile=64)
    assert image.dtype == np.uint8 and image.shape[1] == 3 * 64 + 4 * 6
    query, masked, key = (image[-70:-6, 6 + i * 70 : 70 + i * 70] for i in range(3))
    assert (masked[8:24, 8:40] == 128).all() and (masked == 200).all(-1).sum() == 64 * 64 - 16 * 32
    assert (query[16, 8] == MASKED).all() and (query[40, 40] == 200).all()
    assert (
        (key[32, 16] == MASKED).all()
        and (key[8, 0] == NEGATIVE).all()
        and (key[60, 60] == 90).all()
    )
    with pytest.raises(ValueError, match='2 views'):
        draw_boxes(views[:1], np.zeros(4), keys)


def test_mph_picture_and_its_maps():
    from mssl_plugins.visualization.mph import components, figure, similarity_map

    rng = np.random.default_rng(0)
    target = rng.normal(size=(6, 4, 5))
    assert np.allclose(similarity_map(3 * target, target), 1)
    assert np.allclose(similarity_map(-target, target), -1)
    ours, theirs = components(target, target)
    assert (ours == theirs).all() and ours.shape == (4, 5, 3)
    assert (ours.min((0, 1)) == 0).all() and (ours.max((0, 1)) == 255).all()
    # a feature that varies most along one direction is the first component
    ramp = np.zeros((6, 4, 5))
    ramp[2] = np.arange(20).reshape(4, 5)
    order = components(ramp, ramp)[0][..., 0].ravel().astype(int)
    assert np.allclose(np.abs(np.diff(order)), 255 / 19, atol=1)
    model = build().eval()
    x, samples = batch(2, dtype=torch.float32)
    masked, predicted, key = model.dense(x[0], model.boxes(samples, x[0])[0])
    assert predicted.shape == key.shape == (2, CHANNELS, 8, 8)
    # a fresh teacher is its student, MPH and all
    torch.testing.assert_close(key, model.neck(model.backbone(x[0]))[0].detach())
    images = np.zeros((2, 32, 32, 3), np.uint8)
    sheet = figure(images, images, predicted.detach().numpy(), key.numpy(), tile=32)
    assert sheet.shape == (22 + 2 * 38 + 6, 5 * 38 + 6, 3)


def test_pictures_from_the_command_line(tmp_path):
    from argparse import ArgumentParser

    from mmengine.config import Config

    from mssl_plugins.catalogue import find
    from mssl_plugins.visualization import boxes, mph

    name = 'maskco_resnet18_1xb32-coslr-4e_tiny20'
    model = MODELS.build(Config.fromfile(find(name)).model)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), weights)
    for module, extra in ((boxes, []), (mph, [str(weights)])):
        parser = ArgumentParser()
        module.add_arguments(parser)
        out = tmp_path / f'{module.__name__}.png'
        module.run(parser.parse_args([name, *extra, '--rows', '2', '--out', str(out)]))
        assert out.stat().st_size > 1000
    with pytest.raises(ValueError, match='configs/maskco'):
        parser = ArgumentParser()
        boxes.add_arguments(parser)
        boxes.run(parser.parse_args(['simclr_resnet18_1xb64-coslr-8e_scenes']))


# ------------------------------------------------------------ two processes
def halves(step):
    return [batch(3, seed=10 * step + rank) for rank in range(2)]


def two_steps(model, losses):
    """Two optimizer steps on ``losses(step)``, teacher included; their values."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    values = []
    for step in range(2):
        loss = losses(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.encoder_k.momentum = 0.9
        model.encoder_k.update()
        values.append(loss.item())
    return values


def worker(rank, init, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=init, rank=rank, world_size=2)
    model = perturb_teacher(build(intra=True).double())
    torch.manual_seed(rank)  # processes draw differently, the shuffle is shared all the same
    wrapped = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    values = torch.tensor(
        two_steps(model, lambda step: wrapped(*halves(step)[rank], mode='loss')['loss']),  # noqa: F821
        dtype=torch.float64,
    )
    torch.distributed.all_reduce(values)
    if rank == 0:
        torch.save(dict(values=values / 2, state=model.state_dict()), out)
    # First: DDP must not be the last to let go of the group, which joins its
    # threads and may wait for ever.
    del wrapped
    torch.distributed.destroy_process_group()


def test_two_processes_equal_the_mean_of_two_batches(tmp_path):
    """Negatives are those of a process, and shuffled keys find their boxes again."""
    single = perturb_teacher(build(intra=True).double())
    values = two_steps(single, lambda step: sum(single.loss(*h)['loss'] for h in halves(step)) / 2)
    server()
    torch.multiprocessing.start_processes(
        worker,
        args=(f'file://{tmp_path}/init', tmp_path / 'out.pth'),
        nprocs=2,
        start_method='forkserver',
    )
    both = torch.load(tmp_path / 'out.pth')
    assert both['values'].tolist() == pytest.approx(values, abs=1e-9)
    for key, value in single.state_dict().items():
        assert torch.allclose(value.double(), both['state'][key].double(), atol=1e-9), key


# ------------------------------------------------------- inside the runner
MASKCO = """
    model = dict(type='mssl_plugins.MaskCo', fill='noise', intra=True, momentum=0.9,
                 neck=dict(type='mssl_plugins.MPH', in_channels=32, hidden_channels=16,
                           num_heads=2),
                 head=dict(type='mssl_plugins.RoIHead', in_channels=32, hid_channels=16,
                           out_channels=8),
                 backbone=dict(model['backbone'], strides=(1, 1, 1, 1)),
                 data_preprocessor=model['data_preprocessor'])
    train_dataloader['dataset']['pipeline'][1:] = [
        dict(type='mssl_plugins.MaskCoViews', views=[dict(num=2, size=32)], stride=4),
        dict(type='mssl_plugins.PackViews', keys=('masked_box', 'key_boxes'))]
    default_hooks['checkpoint']['max_keep_ckpts'] = -1
"""


def test_resumed_run_gives_the_losses_of_the_undisturbed_one(tmp_path, tiny_config, train):
    config = tiny_config(MASKCO)
    runs = []
    for name, extra in (
        ('whole', []),
        ('resumed', ['--resume', tmp_path / 'whole' / 'epoch_2.pth']),
    ):
        ended = train(config, '--work-dir', tmp_path / name, *extra)
        assert ended.status == 0, ended.text[-2000:]
        (log,) = (tmp_path / name).rglob('scalars.json')
        lines = map(json.loads, log.read_text().splitlines())
        runs.append({line['step']: line['loss'] for line in lines if 'loss' in line})
    whole, resumed = runs
    assert sorted(whole) == list(range(1, 13)) and sorted(resumed) == list(range(7, 13))
    assert resumed == {step: whole[step] for step in resumed}
    assert len(set(whole.values())) == 12
