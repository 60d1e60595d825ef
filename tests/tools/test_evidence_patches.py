"""Segmentation by the nearest patch tokens, and the control of another image's segments."""

import sys

import cv2
import numpy as np
import pytest
import torch

from helpers.paths import ROOT
from helpers.segment_sets import make, photo

sys.path.insert(0, str(ROOT / 'tools'))
from evidence_tool import patches
from evidence_tool.other_segments import LoadOtherSegments
from evidence_tool.statistics import percent


def config(**backbone):
    from mmengine.config import Config

    return Config(
        dict(
            model=dict(
                backbone=dict(type='mssl_plugins.ViT', img_size=64, patch_size=8, **backbone),
                data_preprocessor=dict(
                    type='mssl_plugins.ViewPreprocessor', mean=[127.0] * 3, std=[64.0] * 3
                ),
            )
        )
    )


def test_tiles_hold_every_pixel_once():
    image = np.arange(64 * 128 * 3, dtype=np.uint8).reshape(64, 128, 3)
    labels = np.arange(64 * 128).reshape(64, 128) % 7
    squares, cut = patches.tiles(image, labels.astype(np.uint8), 32)
    assert squares.shape == (8, 32, 32, 3) and cut.shape == (8, 32, 32)
    assert np.array_equal(squares[5], image[32:, 32:64])
    assert np.array_equal(cut[5], labels[32:, 32:64])


def test_majority_and_counts_by_loops():
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, patches.IGNORED], (2, 8, 8))
    found = patches.majority(labels, 4, 3)
    for t, y, x in np.ndindex(2, 2, 2):
        cell = labels[t, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].ravel()
        counts = [(cell == c).sum() for c in (0, 1, 2, patches.IGNORED)]
        assert found[t, y, x] == [0, 1, 2, patches.IGNORED][int(np.argmax(counts))]
    predicted = rng.integers(0, 3, (2, 8, 8))
    counts = patches.counts(predicted, labels, 3)
    for c in range(3):
        pairs = [(p, v) for p, v in zip(predicted.ravel(), labels.ravel()) if v != patches.IGNORED]
        assert counts[c, 0] == sum(p == c and v == c for p, v in pairs)
        assert counts[c, 1] == sum(p == c or v == c for p, v in pairs)


def small_vit():
    """A ViT of one block on 64 px, in evaluation mode."""
    from mmengine.registry import MODELS, DefaultScope

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        vit = MODELS.build(
            dict(
                type='mssl_plugins.ViT',
                img_size=64,
                patch_size=8,
                arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64),
            )
        )
    vit.init_weights()
    vit.eval()
    return vit


def test_tokens_stand_where_their_patches_are():
    """A token's place in the grid is its patch's: what changes a patch changes it most."""
    vit = small_vit()
    x = torch.randn(1, 3, 64, 64)
    changed = x.clone()
    changed[:, :, 24:32, 40:48] += 2
    moved = (patches.token_grid(vit, changed) - patches.token_grid(vit, x)).norm(dim=-1)[0]
    assert moved.shape == (8, 8) and moved.argmax() == 3 * 8 + 5


@pytest.mark.parametrize('network', [False, True])
def test_scenes_are_segmented(monkeypatch, network):
    monkeypatch.setattr(patches, 'SCENES', dict(train=24, val=6))
    counts = patches.patch_counts(small_vit() if network else None, 'scenes', None, config())
    assert counts.shape == (6, 5, 2) and (counts[..., 0] <= counts[..., 1]).all()
    assert 10 < percent(counts) < 90
    assert counts[:, 0, 0].sum() > 0.5 * 6 * 64 * 64 / 2  # most of the background is found


def test_camvid_leaves_unlabeled_pixels_out(real_data, monkeypatch):
    folder = real_data('camvid_val.npz').parent
    image, labels = next(patches._camvid(folder, 'val'))
    assert image.shape == (360, 480, 3) and labels.shape == (360, 480)
    assert set(np.unique(labels)) <= {*range(11), patches.IGNORED}


def test_segments_of_another_image_of_the_set(tmp_path):
    from mssl_plugins.segments import LoadSegments

    for i in range(6):
        cv2.imwrite(str(tmp_path / f'{i}.png'), photo(i))
    make(tmp_path, tmp_path / 'store')
    own, other = (kind(str(tmp_path / 'store')) for kind in (LoadSegments, LoadOtherSegments))
    paths = [str(tmp_path / f'{i}.png') for i in range(6)]
    maps, others = ([load(dict(img_path=p))['segments'] for p in paths] for load in (own, other))
    taken = [next(j for j in range(6) if np.array_equal(maps[j], m)) for m in others]
    assert sorted(taken) == list(range(6))
    assert all(taken[taken[i]] == i != taken[i] for i in range(6))
