"""Sets for detection and segmentation as mmdet and mmseg read them."""

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
from helpers.dense import write_every_layout
from helpers.tools import tool
from mssl_plugins.datasets.dense_layouts import (
    MIN_BOX_SIDE,
    unpack_bccd,
    unpack_camvid,
)
from mssl_plugins.datasets.scenes import Scenes


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_every_layout(tmp_path_factory.mktemp('dense'))


def test_layouts_hold_the_scenes(scenes):
    from mmdet.datasets import CocoDataset, XMLDataset
    from mmseg.datasets import BaseSegDataset
    from pycocotools.coco import COCO

    source = Scenes(
        split='test', length=4, size=64, objects=(1, 3), scale=(0.3, 0.6), num_classes=4
    )
    classes = source.metainfo['classes']
    data = scenes / 'data'
    coco = CocoDataset(
        ann_file='annotations/val.json',
        data_root=str(data / 'scenes-coco'),
        data_prefix=dict(img='val/'),
        metainfo=dict(classes=classes),
        test_mode=True,
    )
    voc = XMLDataset(
        ann_file='ImageSets/Main/val.txt',
        data_root=str(data / 'scenes-voc'),
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=classes),
        test_mode=True,
    )
    seg = BaseSegDataset(
        data_root=str(data / 'scenes-seg'),
        data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
        metainfo=dict(classes=('none', *classes)),
    )
    api = COCO(str(data / 'scenes-coco/annotations/val.json'))
    for i, scene in enumerate(source):
        large = (scene['gt_bboxes'][:, 2:] - scene['gt_bboxes'][:, :2]).min(1) >= MIN_BOX_SIDE
        boxes, labels = scene['gt_bboxes'][large], scene['gt_bboxes_labels'][large]
        for data, inclusive in ((coco, 0), (voc, 1)):
            given = data.get_data_info(i)['instances']
            assert [g['bbox_label'] for g in given] == labels.tolist()
            # VOC's last pixel is inside, and mmdet keeps that
            shown = np.array([g['bbox'] for g in given]) + [0, 0, inclusive, inclusive]
            assert np.array_equal(shown, boxes)
        masks = [api.annToMask(a) for a in api.loadAnns(api.getAnnIds(imgIds=i))]
        assert np.array_equal(masks, scene['gt_masks'][large])
        import cv2

        labels = cv2.imread(seg.get_data_info(i)['seg_map_path'], cv2.IMREAD_UNCHANGED)
        assert np.array_equal(labels > 0, scene['gt_masks'].any(0))
        assert set(np.unique(labels)) <= {0, *(scene['gt_bboxes_labels'] + 1)}


@pytest.mark.parametrize(
    'name, layout',
    [
        ('faster-rcnn_r50-c4_8xb2-1x_own-voc', 'voc'),
        ('mask-rcnn_r50-c4_8xb2-1x_own-coco', 'coco'),
        ('mask-rcnn_r18-c4_8xb2-1x_own-coco', 'coco'),
        ('vitdet_vit-b16_32xb2-36e_own-coco', 'coco'),
        ('upernet_vit-b16_8xb2-100e_own-masks', 'seg'),
    ],
)
def test_a_folder_of_ones_own_is_read(scenes, monkeypatch, name, layout):
    """Path and classes in the environment; one image through the config's own transforms."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, DefaultScope

    from mssl_plugins.catalogue import find

    classes = Scenes(length=1, num_classes=4).metainfo['classes']
    classes = ('none', *classes) if layout == 'seg' else classes
    monkeypatch.setenv('OWN_DATA', str(scenes / f'data/scenes-{layout}'))
    monkeypatch.setenv('OWN_CLASSES', ', '.join(classes))
    cfg = Config.fromfile(find(name))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        parts = [DATASETS.build(cfg[f'{part}_dataloader'].dataset) for part in ('train', 'val')]
        assert [len(p) for p in parts] == [8, 4]
        for part in parts:
            assert tuple(part.metainfo['classes']) == tuple(classes)
            sample = part[0]
            assert sample['inputs'].dtype == torch.uint8
            if part is parts[1]:  # training draws the size
                assert min(sample['inputs'].shape[1:]) >= 512
            given = sample['data_samples']
            if layout == 'seg':
                assert given.gt_sem_seg.data.shape[1:] and given.gt_sem_seg.data.max() <= 4
            else:
                assert given.gt_instances.labels.max() < 4
                assert len(given.gt_instances.bboxes) == len(given.gt_instances.labels) > 0


def test_real_sets_unpack(tmp_path, real_data):
    unpack_bccd(real_data('bccd_voc.tar.gz'), tmp_path / 'bccd')
    names = (tmp_path / 'bccd/ImageSets/Main/train.txt').read_text().split()
    assert len(names) == 205 and (tmp_path / f'bccd/Annotations/{names[0]}.xml').exists()
    unpack_camvid(real_data('camvid_train.npz').parent, tmp_path / 'camvid')
    assert len(list((tmp_path / 'camvid/ann/val').glob('*.png'))) == 60
    with pytest.raises(FileNotFoundError, match='camvid_train'):
        unpack_camvid(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match='BCCD'):
        unpack_bccd(tmp_path, tmp_path)


def test_tool_makes_a_set_and_names_the_nearest(tmp_path):
    main = tool('dense_data').main
    main(['seg', str(tmp_path / 'here'), '--train', '2', '--val', '1'])
    assert (tmp_path / 'here/img/train/00001.jpg').exists()
    with pytest.raises(ValueError, match="did you mean 'coco'"):
        main(['coc', str(tmp_path)])
