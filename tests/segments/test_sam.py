"""Segments by models of the SAM family."""

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from helpers.segment_sets import make, photo
from mssl_plugins.datasets import ImageFolder
from mssl_plugins.segments import LoadSegments, build
from mssl_plugins.segments.generators import build_generator
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.segments.store import SegmentStore


def test_masks_are_accepted_as_the_paper_says():
    """Stability: how little the mask changes as the threshold moves by 1."""
    from mssl_plugins.segments.sam import ONNXMasks, box_of

    limits = SimpleNamespace(least_iou=0.88, least_stability=0.95)
    y, x = np.mgrid[:256, :256].astype(np.float32)
    distance = 60 - np.hypot(y - 80, x - 100)
    sharp, vague = distance * 2, distance / 8
    for logit in (sharp, vague):
        inner = outer = 0
        for value in logit[:192].ravel().tolist():  # an image of 3 : 4
            inner, outer = inner + (value > 1), outer + (value > -1)
        mask = ONNXMasks.accept(limits, logit, 0.9, 96, 128)
        assert (mask is not None) == (inner / outer >= 0.95)
    mask = ONNXMasks.accept(limits, sharp, 0.9, 96, 128)
    wanted = np.hypot(y[:96, :128] + 0.5 - 40.25, x[:96, :128] + 0.5 - 50.25) < 30
    assert mask.shape == (96, 128) and (mask != wanted).mean() < 0.005
    assert np.abs(box_of(mask) - [20, 10, 80, 70]).max() <= 1
    assert ONNXMasks.accept(limits, sharp, 0.87, 96, 128) is None
    assert ONNXMasks.accept(limits, sharp - 1000, 0.9, 96, 128) is None


def test_wrong_weights_are_refused(tmp_path):
    from mssl_plugins.segments.sam import SAM

    with pytest.raises(ValueError, match='points_per_side'):
        SAM(str(tmp_path), points_per_side=0)
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r'mssl-plugins-openmmlab\[sam\]'):
            SAM(str(tmp_path))
    else:
        with pytest.raises(ValueError, match='one encoder and one decoder'):
            SAM(str(tmp_path))
        (tmp_path / 'a.onnx').write_bytes(b'not a model')
        with pytest.raises(ValueError, match='no whole ONNX file'):
            SAM(str(tmp_path))
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'a.pth')
    with pytest.raises((ImportError, ValueError), match='pip install|no checkpoint of Segment'):
        SAM(str(tmp_path / 'a.pth'))


def test_checkpoint_of_segment_anything(tmp_path, monkeypatch):
    """The authors' package on weights in their form; random ones, so that any mask is taken.

    Of the 12 blocks of ViT-B one, a windowed one: 1,024 px take the others a minute.
    """
    segment_anything = pytest.importorskip('segment_anything')
    from segment_anything.build_sam import _build_sam

    shallow = partial(_build_sam, 768, 1, 12, [])
    monkeypatch.setitem(segment_anything.sam_model_registry, 'vit_b', shallow)
    torch.save(segment_anything.sam_model_registry['vit_b']().state_dict(), tmp_path / 'sam.pth')
    options = dict(
        weights=str(tmp_path / 'sam.pth'),
        points_per_side=1,
        pred_iou_thresh=-1e9,
        stability_score_thresh=-1.0,
        side=64,
    )
    (tmp_path / 'photos').mkdir()
    cv2.imwrite(str(tmp_path / 'photos/a.png'), photo(0))
    build.make(
        find_images(str(tmp_path / 'photos')),
        str(tmp_path / 'seg'),
        'sam',
        options,
        workers=0,
        shown=False,
    )
    file = SegmentStore(tmp_path / 'seg')
    labels = file.read(0)
    assert len(file) == 1 and labels.shape == photo(0).shape[:2] and 1 <= labels.max() <= 3
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='no checkpoint of Segment Anything'):
        build_generator('sam', dict(weights=str(tmp_path / 'other.pth')))


def test_a_real_model_segments_real_photos(tmp_path):
    """Borders of its segments lie on edges of the photo."""
    weights = os.environ.get('MSSL_SAM', '')
    if not weights or not Path(weights).exists():
        pytest.skip(
            'no SAM-family weights: name the folder of an ONNX encoder and decoder, or a '
            'checkpoint of segment_anything, with MSSL_SAM'
        )
    pytest.importorskip('segment_anything' if weights.endswith('.pth') else 'onnxruntime')
    from mssl_plugins.datasets.scene_sources import load_photos

    (tmp_path / 'photos').mkdir()
    for i, img in enumerate((load_photos('train', 256)[1], load_photos('test', 256)[2])):
        cv2.imwrite(str(tmp_path / 'photos' / f'{i}.png'), cv2.cvtColor(img, cv2.COLOR_RGB2BGR))
    options = dict(weights=weights, points_per_side=4, stability_score_thresh=0.9, threads=1)
    make(tmp_path / 'photos', tmp_path / 'seg', 'sam', options=options)
    dataset = ImageFolder(str(tmp_path / 'photos'), pipeline=[LoadSegments(tmp_path / 'seg')])
    for sample in dataset:
        labels, img = sample['segments'], sample['img']
        assert labels.shape == img.shape[:2] and len(np.unique(labels)) > 3
        gray = cv2.GaussianBlur(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(float)
        edge = np.hypot(*np.gradient(gray))
        border = np.zeros(labels.shape, bool)
        border[1:] |= labels[1:] != labels[:-1]
        border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        assert edge[border].mean() > 1.5 * edge[~border].mean()
