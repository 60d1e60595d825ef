"""Colors and neighbors of patches: drawn structure, loops in float64, what is refused."""

import math

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from skimage.filters import threshold_otsu
from sklearn.decomposition import PCA

from mssl_plugins.evaluation.neighbors import nearest_images, nearest_patches, patch_similarity
from mssl_plugins.evaluation.patch_maps import (
    PatchBasis,
    colors_of,
    otsu,
    patch_maps,
    principal_axes,
)

VIT = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16),
)
RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)


def network(backbone):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.backbone = MODELS.build(dict(backbone))
    model.data_preprocessor = MODELS.build(
        dict(type='mssl_plugins.ViewPreprocessor', mean=[100.0] * 3, std=[50.0] * 3)
    )
    return model


def drawn_maps(noise=0.02, seed=0):
    """Two maps of 12 dimensions: an object of two halves on a background."""
    rng = np.random.default_rng(seed)
    background, left, right = rng.normal(size=(3, 12))
    maps, masks = [], []
    for top, size in ((1, (7, 9)), (2, (8, 6))):
        mask = np.zeros(size, int)
        mask[top : top + 4, 2:4], mask[top : top + 4, 4:5] = 1, 2
        vectors = np.stack([background, background + 6 * left, background + 6 * left + right])
        maps.append(torch.tensor(vectors[mask] + noise * rng.normal(size=(*size, 12))).float())
        masks.append(mask)
    return maps, masks


@pytest.mark.parametrize('count', [50, 5], ids=['tall', 'wide'])
def test_axes_are_scikit_learns(count):
    rows = torch.randn(count, 6, dtype=torch.float64) * torch.arange(1, 7)
    rows -= rows.mean(0)
    axes = principal_axes(rows, 3)
    wanted = torch.from_numpy(PCA(3).fit(rows.numpy()).components_)
    assert ((axes * wanted).sum(1).abs() - 1).abs().max() < 1e-9
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()
    few = principal_axes(rows[:, :2], 3)
    assert few.shape == (3, 2) and (few[2] == 0).all()
    assert (principal_axes(torch.zeros(2, 6, dtype=torch.float64), 3) == 0).all()
    for count in (2, 3):
        rows = torch.randn(count, 768)
        axes = principal_axes(rows - rows.mean(0), 3)
        assert (axes[count - 1 :] == 0).all() and (axes[: count - 1].norm(dim=1) > 0.999).all()


def test_the_threshold_is_otsus():
    rng = np.random.default_rng(0)
    for small in (20, 200):
        values = np.concatenate([rng.normal(0, 1, 300), rng.normal(9, 1.5, small)])
        same = (values > otsu(torch.from_numpy(values))) == (values > threshold_otsu(values, 256))
        assert same.mean() > 0.99  # bins are cut at other places
        # the split has the least inner variance of all: tried one by one
        ordered = np.sort(values)
        inner = [
            i * ordered[:i].var() + (len(ordered) - i) * ordered[i:].var()
            for i in range(1, len(ordered))
        ]
        found = int((values <= otsu(torch.from_numpy(values))).sum())
        assert inner[found - 1] <= min(inner) * 1.01
    assert otsu(torch.full((5,), 2.0)) == 2.0


def test_the_object_is_the_foreground_in_two_colors():
    maps, masks = drawn_maps()
    basis = PatchBasis.fit(maps)
    shown = colors_of(maps)
    for patches, mask, colors in zip(maps, masks, shown):
        assert (basis.is_foreground(patches).numpy() == (mask > 0)).all()
        colors = colors.numpy().astype(int)
        assert (colors[mask == 0] == 0).all()
        left, right = colors[mask == 1], colors[mask == 2]
        assert abs(left[:, 0].mean() - right[:, 0].mean()) > 150  # the first axis parts the halves
    # one basis: the same half has the same color in both images
    first, second = (c.numpy()[m == 1, 0].mean() for c, m in zip(shown, masks))
    assert abs(first - second) < 30


def test_colors_equal_loops_in_float64():
    maps, _ = drawn_maps(noise=0.5, seed=3)
    rows = np.concatenate([m.numpy().reshape(-1, 12) for m in maps]).astype(float)
    pca = PCA(3).fit(rows)
    signs = [1 if axis[np.abs(axis).argmax()] > 0 else -1 for axis in pca.components_]
    ends = pca.transform(rows) * signs
    shown = colors_of(maps, foreground=False)
    at = 0
    for colors in shown:
        for cell in colors.reshape(-1, 3).tolist():
            for c in range(3):
                low, high = ends[:, c].min(), ends[:, c].max()
                assert abs(cell[c] - 255 * (ends[at, c] - low) / (high - low)) <= 0.5 + 1e-6
            at += 1
    assert at == len(rows)


def test_the_basis_refuses_what_has_no_colors():
    with pytest.raises(ValueError, match='two or more patches'):
        PatchBasis.fit([torch.ones(1, 1, 4)])
    with pytest.raises(ValueError, match='finite'):
        PatchBasis.fit([torch.full((2, 2, 4), float('nan'))])
    same = colors_of([torch.ones(3, 3, 4)])[0]
    assert (same == 0).all()  # nothing differs: all background


@pytest.mark.parametrize(
    'backbone, size, grid', [(VIT, (16, 24), (4, 6)), (RESNET, (64, 96), (2, 3))]
)
def test_maps_are_the_backbones_own(backbone, size, grid):
    model = network(backbone)
    images = torch.randint(0, 256, (3, 3, *size), dtype=torch.uint8)
    maps = patch_maps(model, images)
    assert maps.shape[:3] == (3, *grid)
    net = model.backbone
    net.eval()
    x = (images.float() - 100) / 50
    with torch.no_grad():
        if backbone is VIT:
            net.out_type = 'raw'
            wanted = net(x)[-1][:, 1:].reshape(*maps.shape)
        else:
            wanted = net(x)[-1].permute(0, 2, 3, 1)
    assert (maps - wanted).abs().max() < 1e-5


def cosine(a, b):
    a, b = a.double().tolist(), b.double().tolist()
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


def test_nearest_images_by_loops():
    features = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    features[7] = features[3]  # a copy, which is a neighbor and no query
    for bank in (None, list(range(0, 20, 2)), [3, 4, 7, 9, 11]):
        values, index = nearest_images(features, [3, 7, 4], 3, bank)
        for q, found, near in zip((3, 7, 4), index.tolist(), values.tolist()):
            others = [i for i in (bank or range(20)) if i != q]
            wanted = sorted(others, key=lambda i: (-round(cosine(features[i], features[q]), 6), i))
            assert found == wanted[:3]
            assert near == pytest.approx(
                [cosine(features[i], features[q]) for i in found], abs=1e-5
            )
    with pytest.raises(ValueError, match='19'):
        nearest_images(features, [0], 20)


def test_nearest_patches_by_loops():
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(h, w, 6, generator=generator) for h, w in ((3, 4), (2, 5), (4, 2))]
    for each in (1, 3):
        found = nearest_patches(maps, 1, 1, 3, 4, each)
        best = []
        for number, m in enumerate(maps):
            cells = [
                (cosine(m[r, c], maps[1][1, 3]), number, r, c)
                for r in range(m.size(0))
                for c in range(m.size(1))
                if (number, r, c) != (1, 1, 3)
            ]
            best += sorted(cells, reverse=True)[:each]
        wanted = sorted(best, reverse=True)[: min(4, 3 * each)]
        assert [tuple(p[:3]) for p in found] == [w[1:] for w in wanted]
        assert [p.cosine for p in found] == pytest.approx([w[0] for w in wanted], abs=1e-5)
    shown = patch_similarity(maps[0], maps[0][2, 1])
    assert float(shown[2, 1]) == pytest.approx(1, abs=1e-6) and shown.shape == (3, 4)
    with pytest.raises(ValueError, match='2 x 5'):
        nearest_patches(maps, 1, 2, 0, 1)
    with pytest.raises(ValueError, match='none of the 3'):
        nearest_patches(maps, 3, 0, 0, 1)
