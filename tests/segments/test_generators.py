"""Generators of segments: annotations and scikit-image."""

import json

import numpy as np
import pytest

from helpers.segment_sets import photo
from mssl_plugins.segments import build
from mssl_plugins.segments.base import label_map
from mssl_plugins.segments.generators import Annotations, build_generator
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.segments.store import SegmentStore


def test_the_smaller_mask_owns_the_pixel():
    rng = np.random.default_rng(0)
    masks = [rng.random((9, 7)) < share for share in (0.2, 0.9, 0.5, 0.5)]
    labels = label_map(masks, (9, 7))
    order = sorted(range(4), key=lambda i: -masks[i].sum())
    for y in range(9):
        for x in range(7):
            owners = [order.index(i) + 1 for i in range(4) if masks[i][y, x]]
            assert labels[y, x] == max(owners, default=0)
    assert label_map([], (3, 4, 3)).shape == (3, 4)


def test_coco_annotations(tmp_path):
    pytest.importorskip('pycocotools')
    from pycocotools import mask as coco

    block = np.zeros((40, 56), np.uint8, order='F')
    block[30:36, 40:50] = 1
    rle = coco.encode(block)
    rle['counts'] = rle['counts'].decode()
    notes = [
        dict(image_id=7, segmentation=[[4, 4, 36, 4, 36, 24, 4, 24]]),
        dict(image_id=7, segmentation=[[8, 8, 16, 8, 16, 16, 8, 16]]),
        dict(image_id=7, segmentation=rle),
        dict(image_id=7),
    ]
    path = tmp_path / 'instances.json'
    path.write_text(
        json.dumps(
            dict(images=[dict(id=7, file_name='a.png', height=40, width=56)], annotations=notes)
        )
    )
    labels = Annotations(str(path))(photo(0), 'set/a.png', {})
    assert labels[6, 30] == 1 and labels[10, 10] == 2 and labels[33, 45] == 3 and labels[0, 0] == 0
    assert abs((labels == 2).sum() - 64) <= 17 and (labels == 3).sum() == 60
    with pytest.raises(ValueError, match='40 x 60 px.*40 x 56'):
        Annotations(str(path))(photo(0, 40, 60), 'a.png', {})
    with pytest.raises(ValueError, match='b.png is not among the 1 images'):
        Annotations(str(path))(photo(0), 'b.png', {})
    path.write_text('{}')
    with pytest.raises(ValueError, match='no COCO file'):
        Annotations(str(path))


def test_label_images(tmp_path):
    from PIL import Image

    labels = np.zeros((20, 28), np.uint8)
    labels[2:9, 3:9], labels[10:15, 4:20], labels[0] = 1, 4, 255
    palette = Image.fromarray(labels, 'P')
    palette.putpalette([3, 7, 9] * 256)  # colors that say nothing
    (tmp_path / 'ann' / 'cat').mkdir(parents=True)
    palette.save(tmp_path / 'ann' / 'cat' / 'a.png')
    colors = np.zeros((20, 28, 3), np.uint8)
    colors[2:9, 3:9], colors[10:15, 4:20] = (200, 0, 0), (0, 0, 200)
    Image.fromarray(colors).save(tmp_path / 'ann' / 'b.png')
    read = Annotations(str(tmp_path / 'ann'))
    first, second = read(photo(0), 'cat/a.jpg', {}), read(photo(0), 'cat/b.jpg', {})
    for found in (first, second):
        assert len(np.unique(found)) == 3 and found[0, 0] == 0
        assert len({found[3, 4], found[12, 5], 0}) == 3
    with_sky = Annotations(str(tmp_path / 'ann'), none=255)(photo(0), 'cat/a.jpg', {})
    assert len(np.unique(with_sky)) == 4 and with_sky[19, 0] > 0 == with_sky[0, 0]
    with pytest.raises(FileNotFoundError, match='no label image for c.jpg'):
        read(photo(0), 'c.jpg', {})
    with pytest.raises(ValueError, match='20 x 28 px, its image'):
        read(photo(0, 40, 40), 'cat/a.jpg', {})


@pytest.mark.parametrize('name', ['felzenszwalb', 'slic'])
def test_scikit_image_finds_the_parts_of_an_image(name):
    img = np.full((60, 60, 3), 40, np.uint8)
    img[:, 30:] = (200, 60, 60)
    img[20:40, 20:40] = (60, 200, 60)
    labels = build_generator(name, {})(img, 'a', {})
    assert labels.min() == 1 and (labels.shape == np.array([60, 60])).all()
    parts = [labels[5:15, 5:15], labels[5:15, 45:55], labels[24:36, 24:36]]
    majority = [np.bincount(part.ravel()).argmax() for part in parts]
    assert len(set(majority)) == 3


def test_real_photos(real_data, tmp_path):
    images = find_images(str(real_data('tiny_imagenet_20c_val.npz')))
    build.make(images, str(tmp_path / 'seg'), 'felzenszwalb', workers=2, shown=False)
    file = SegmentStore(tmp_path / 'seg')
    counts = [file.read(at).max() for at in file.find(i.key for i in images)]
    assert len(images) == 1000 and 3 < np.mean(counts) < 60
