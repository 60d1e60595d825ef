"""The preprocessor against plain normalization and MMPretrain's own."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from mmpretrain.models import SelfSupDataPreprocessor

from mssl_plugins.datasets.transforms.pack import PackViews
from mssl_plugins.datasets.transforms.views import Views
from mssl_plugins.models.preprocessor import ViewPreprocessor

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    views = Views([dict(num=2, size=24), dict(num=1, size=16)])
    return default_collate(
        [
            PackViews()(
                views(dict(img=rng.integers(0, 256, (40, 30, 3)).astype(np.uint8), gt_label=i))
            )
            for i in range(3)
        ]
    )


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.float16])
def test_normalizes_every_view(batch, channels_last, dtype):
    batch['inputs'] = [view.to(dtype) for view in batch['inputs']]
    kept = [view.clone() for view in batch['inputs']]
    out = ViewPreprocessor(channels_last=channels_last)(batch)
    assert len(out['inputs']) == 3
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for given, before, view in zip(batch['inputs'], kept, out['inputs']):
        assert (given == before).all()  # not in place
        assert view.dtype == torch.float32 and view.shape == given.shape
        assert view.is_contiguous(memory_format=layout)
        for c in range(3):
            expected = (given[:, c].double() - MEAN[c]) / STD[c]
            torch.testing.assert_close(view[:, c].double(), expected, rtol=0, atol=1e-6)
    assert [s.gt_label.item() for s in out['data_samples']] == [0, 1, 2]


def test_equals_mmpretrains(batch):
    settings = dict(mean=[10, 20, 30], std=[3, 4, 5], to_rgb=True)
    ours = ViewPreprocessor(**settings)(batch)
    theirs = SelfSupDataPreprocessor(**settings)(batch)
    for a, b in zip(ours['inputs'], theirs['inputs']):
        assert torch.equal(a, b)
    single = dict(batch, inputs=batch['inputs'][0])
    assert torch.equal(
        ViewPreprocessor(**settings)(single)['inputs'],
        SelfSupDataPreprocessor(**settings)(single)['inputs'],
    )


def test_single_tensor_and_no_samples(batch):
    out = ViewPreprocessor()(dict(inputs=batch['inputs'][2]))
    assert out['inputs'].shape == (3, 3, 16, 16)
    assert out['data_samples'] is None


def test_without_normalization(batch):
    out = ViewPreprocessor(mean=None, std=None)(batch)
    assert torch.equal(out['inputs'][0], batch['inputs'][0].float())


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet'])
def test_built_by_name(scope):
    with DefaultScope.overwrite_default_scope(scope):
        built = ROOT.build(dict(type='mssl_plugins.ViewPreprocessor'))
    assert isinstance(built, SelfSupDataPreprocessor)


def test_wrong_batches(batch):
    views = [view[0] for view in batch['inputs']]
    with pytest.raises(TypeError, match='default_collate'):
        ViewPreprocessor()(dict(inputs=views))
    with pytest.raises(TypeError, match='default_collate'):
        ViewPreprocessor()(dict(inputs=[views, views]))
    with pytest.raises(TypeError, match="dict with 'inputs'"):
        ViewPreprocessor()([batch])
    with pytest.raises(TypeError, match="dict with 'inputs'"):
        ViewPreprocessor()(dict(img=views))
