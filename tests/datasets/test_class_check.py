"""The classes of one's own sets are held against the boxes and label maps on disk."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mssl_plugins.datasets.class_check import check_classes
from mssl_plugins.errors import ConfigError


def config(kind, root, classes, **given):
    dataset = dict(type=kind, data_root=str(root), metainfo=dict(classes=classes), **given)
    return Config(dict(train_dataloader=dict(dataset=dataset)))


def coco(root, classes, categories=('cat', 'dog', 'bird'), boxes=(0, 0, 1)):
    told = dict(
        images=[dict(id=1, file_name='1.jpg', width=9, height=9)],
        categories=[dict(id=7 + i, name=name) for i, name in enumerate(categories)],
        annotations=[
            dict(id=i, image_id=1, category_id=7 + of, bbox=[0, 0, 4, 4], area=16, iscrowd=0)
            for i, of in enumerate(boxes)
        ],
    )
    (root / 'train.json').write_text(json.dumps(told))
    return config('CocoDataset', root, classes, ann_file='train.json')


def test_coco(tmp_path):
    assert check_classes(coco(tmp_path, ['cat', 'dog'])) == []
    (left, empty) = check_classes(coco(tmp_path, ['dog', 'bird']))
    assert '2 boxes in' in left and left.endswith('are left out: cat')
    assert 'is called bird' in empty and 'train_dataloader.dataset.metainfo.classes' in empty
    with pytest.raises(ConfigError, match="has no category 'dgo', only cat.*did you mean 'dog'"):
        check_classes(coco(tmp_path, ['cat', 'dgo']))
    (tmp_path / 'train.json').write_text('{"images": []}')
    with pytest.raises(ConfigError, match='not in the layout of COCO'):
        check_classes(config('CocoDataset', tmp_path, ['cat'], ann_file='train.json'))
    assert check_classes(config('CocoDataset', tmp_path, ['cat'], ann_file='none.json')) == []


def test_the_order_of_classes_is_the_one_that_mmdet_numbers_by(tmp_path):
    datasets = pytest.importorskip('mmdet.datasets', reason='needs mmdet: the extra [dense]')
    classes = ['dog', 'cat']
    with pytest.raises(ConfigError, match='give them in this order, cat,dog'):
        check_classes(coco(tmp_path, classes))
    theirs = datasets.CocoDataset(
        ann_file=str(tmp_path / 'train.json'),
        metainfo=dict(classes=classes),
        data_prefix=dict(img=''),
    )
    image = theirs.get_data_info(0)
    # without the check, cats (the first two boxes) are numbered as dogs
    assert [box['bbox_label'] for box in image['instances']] == [0, 0, 1]


def voc(root, classes, names):
    (root / 'Annotations').mkdir(exist_ok=True)
    for i, name in enumerate(names):
        box = '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>'
        (root / f'Annotations/{i}.xml').write_text(
            f'<annotation><object><name>{name}</name>{box}</object></annotation>'
        )
    (root / 'train.txt').write_text(''.join(f'{i}\n' for i in range(len(names))))
    return config(
        'XMLDataset', root, classes, ann_file='train.txt', data_prefix=dict(sub_data_root='')
    )


def test_voc(tmp_path):
    assert check_classes(voc(tmp_path, ['cat', 'hot dog'], ['hot dog', 'cat', 'cat'])) == []
    (left, empty) = check_classes(voc(tmp_path, ['cat', 'bird'], ['brid', 'cat', 'cat']))
    assert '1 boxes in' in left and left.endswith('left out: brid')
    assert empty.endswith("is called bird; did you mean 'brid'?")
    with pytest.raises(ConfigError, match='no box in .*theirs are Cat, Dog'):
        check_classes(voc(tmp_path, ['cat', 'dog'], ['Cat', 'Dog']))
    (tmp_path / 'Annotations/0.xml').write_text('<annotation>')
    with pytest.raises(ConfigError, match='0.xml is no whole XML file'):
        check_classes(
            config('XMLDataset', tmp_path, ['cat'], ann_file='train.txt', data_prefix=dict())
        )


def maps(root, classes, *pixels, **given):
    folder = root / 'ann/train/deep'
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('*'):
        old.unlink()
    for i, image in enumerate(pixels):
        if not isinstance(image, Image.Image):
            image = Image.fromarray(np.array(image, np.uint8))
        image.save(folder / f'{i}.png')
    prefix = dict(img_path='img/train', seg_map_path='ann/train')
    return config('BaseSegDataset', root, classes, data_prefix=prefix, **given)


def test_label_maps(tmp_path):
    two = ['road', 'tree']
    assert check_classes(maps(tmp_path, two, [[0, 1, 255]])) == []
    assert check_classes(maps(tmp_path, ['thing'], [[0, 255]])) == []
    with pytest.raises(ConfigError, match='values 0, 2; 2 classes are numbered 0 to 1, and 255'):
        check_classes(maps(tmp_path, two, [[0, 1]], [[0, 2]]))
    with pytest.raises(ConfigError, match='values 0, 255, of which 255 .* one class is left'):
        check_classes(maps(tmp_path, two, [[0, 255]], [[0, 0]]))
    with pytest.raises(ConfigError, match='0.png is a color image'):
        check_classes(maps(tmp_path, two, np.zeros((2, 2, 3))))
    assert check_classes(maps(tmp_path, [*two, 'sky'], [[0, 1]])) == [
        f'train_dataloader.dataset.metainfo.classes: no pixel in {tmp_path}/ann/train is of sky'
    ]
    # ADE20K's convention: 0 is left out, the classes are 1 to N
    assert check_classes(maps(tmp_path, two, [[0, 1, 2]], reduce_zero_label=True)) == []
    with pytest.raises(ConfigError, match='numbered 1 to 2'):
        check_classes(maps(tmp_path, two, [[0, 3]], reduce_zero_label=True))
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), 'P')
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert check_classes(maps(tmp_path, two, palette)) == []
    (tmp_path / 'ann/train/deep/0.png').write_bytes(b'no image')
    with pytest.raises(ConfigError, match='no readable label map'):
        check_classes(config('BaseSegDataset', tmp_path, two, data_prefix=dict(seg_map_path='ann')))


def test_wrapped_and_public_sets(tmp_path):
    cfg = coco(tmp_path, ['dog', 'cat'])
    wrapped = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    with pytest.raises(ConfigError, match=r'^train_dataloader\.dataset\.dataset\.metainfo'):
        check_classes(Config(dict(train_dataloader=dict(dataset=wrapped))))
    del cfg.train_dataloader.dataset['metainfo']
    assert check_classes(cfg) == []
    assert check_classes(Config(dict(train_dataloader=None))) == []
