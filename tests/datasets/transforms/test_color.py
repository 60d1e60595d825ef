"""Color jitter and lighting of labeled pipelines."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.transforms.photometric import Photometric
from mssl_plugins.registry import TRANSFORMS

CONFIG = (
    Path(__file__).parents[3]
    / 'configs/benchmarks/classification'
    / 'resnet50_8xb32-multilayer-maskco-steplr-90e_in1k.py'
)
# OpenSelfSup's Lighting, for pixels in 0-1
EIGVAL = [0.2175, 0.0188, 0.0045]
EIGVEC = [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]


def image(seed=0, size=(9, 11)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_lighting_is_the_formula_of_loops():
    step = TRANSFORMS.build(dict(type='mssl_plugins.Lighting', std=0.1))
    img, seen = image(), []
    for seed in range(2000):
        out = step(dict(img=img, rng=np.random.default_rng(seed)))['img']
        assert out.dtype == np.float32
        alpha = np.random.default_rng(seed).normal(0, 0.1, 3)
        shift = []
        for channel in range(3):
            total = 0.0
            for i in range(3):
                total += EIGVEC[channel][i] * alpha[i] * EIGVAL[i]
            shift.append(total * 255)
        difference = out - img
        assert difference.reshape(-1, 3) == pytest.approx(np.tile(shift, (9 * 11, 1)), abs=1e-4)
        seen.append(shift)
    # 255 x 0.1 x eigenvalue along each axis of the noise
    spread = np.std(np.array(seen) @ np.array(EIGVEC), axis=0)
    assert spread == pytest.approx(25.5 * np.array(EIGVAL), rel=0.1)


def test_lighting_never_wraps_around():
    """White stays bright: a cast to uint8 would make 258 a 2."""
    step = TRANSFORMS.build(dict(type='mssl_plugins.Lighting'))
    for seed in range(50):
        out = step(dict(img=np.full((2, 2, 3), 255, np.uint8), rng=np.random.default_rng(seed)))
        assert out['img'].min() > 200


def test_jitter_is_the_views_jitter():
    strengths = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0)
    step = TRANSFORMS.build(dict(type='mssl_plugins.ColorJitter', **strengths))
    for seed in range(20):
        out = step(dict(img=image(), rng=np.random.default_rng(seed)))['img']
        assert out.dtype == np.uint8
        assert (out == Photometric(jitter=strengths)(image(), np.random.default_rng(seed))).all()


@pytest.mark.parametrize(
    'wrong, words',
    [
        (dict(type='mssl_plugins.ColorJitter', brightnes=1), "did you mean 'brightness'"),
        (dict(type='mssl_plugins.ColorJitter', hue=2), 'hue'),
        (dict(type='mssl_plugins.Lighting', std=-1), 'must not be negative'),
    ],
)
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        TRANSFORMS.build(wrong)


def test_both_are_applied_in_the_multilayer_probe_and_follow_the_sample():
    """Its pipeline without crop and flip, on a gray image, which only lighting tints."""
    steps = [
        TRANSFORMS.build(step) for step in Config.fromfile(CONFIG).train_dataloader.dataset.pipeline
    ]
    names = [type(step).__name__ for step in steps]
    assert names == ['RandomResizedCrop', 'RandomFlip', 'ColorJitter', 'Lighting', 'PackInputs']

    def run(index, epoch):
        results = dict(
            img=np.full((224, 224, 3), 128, np.uint8),
            gt_label=1,
            sample_idx=SampleIndex(index, seed=0, epoch=epoch),
        )
        for step in steps[2:]:
            results = step(results)
        return results['inputs'][:, 0, 0]

    first, again, later = run(3, 0), run(3, 0), run(3, 1)
    assert first.dtype == torch.float32 and torch.equal(first, again)
    assert not torch.equal(first, later)
    assert len(set(first.tolist())) == 3
    values = torch.stack([run(i, 0) for i in range(200)])
    # brightness 0.6 to 1.4 and contrast of a uniform image, which changes nothing
    assert values.min() > 128 * 0.6 - 25 and values.max() < 128 * 1.4 + 25
    assert values.mean(1).std() > 20
