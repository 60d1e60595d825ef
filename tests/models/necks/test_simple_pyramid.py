"""The simple feature pyramid: sizes of its maps."""

import pytest
import torch

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
from mssl_plugins.models.necks import SimpleFeaturePyramid


def test_pyramid():
    neck = SimpleFeaturePyramid(16, 8)
    maps = neck((torch.randn(1, 16, 4, 6),))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (8, 16, 24),
        (8, 8, 12),
        (8, 4, 6),
        (8, 2, 3),
        (8, 1, 2),
    ]
    assert torch.equal(maps[4], maps[3][:, :, ::2, ::2])
    with pytest.raises(ValueError, match='scale'):
        SimpleFeaturePyramid(16, scales=(3,))
