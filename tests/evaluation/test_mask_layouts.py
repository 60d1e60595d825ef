"""Segmentation data sets as they are unpacked, drawn small."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.dense_data import DenseData
from mssl_plugins.evaluation.dense_runner import DenseEvaluation
from mssl_plugins.evaluation.mask_layouts import CITYSCAPES, find_layout
from mssl_plugins.evaluation.options import EvaluationOptions

VIT = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16),
)
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [7] * 759


def write(path, array, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array.astype(np.uint8))
    if palette:
        image = image.convert('P')
        image.putpalette(PALETTE)
    image.save(path)


def example(seed, values):
    """An image of 20 x 12 px and its mask of the given numbers."""
    rng = np.random.default_rng(seed)
    mask = np.array(values)[rng.integers(0, len(values), (3, 5))].repeat(4, 0).repeat(4, 1)
    image = rng.integers(0, 60, (12, 20, 3)) + (mask * 37 % 190)[..., None]
    return image, mask


def voc(root, values=(0, 1, 20, 255)):
    for split, seeds in (('train', (0, 1, 2)), ('val', (3, 4))):
        for seed in seeds:
            image, mask = example(seed, values)
            write(root / f'JPEGImages/2007_{seed}.jpg', image)
            write(root / f'SegmentationClass/2007_{seed}.png', mask, palette=True)
        lists = root / 'ImageSets/Segmentation'
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f'{split}.txt').write_text(''.join(f'2007_{s}\n' for s in seeds))
    write(root / 'JPEGImages/2007_9.jpg', example(9, (0, 1))[0])  # has no mask, as most of VOC's
    return root


def ade(root):
    for split, seeds in (('training', (0, 1)), ('validation', (2,))):
        for seed in seeds:
            image, mask = example(seed, (0, 1, 2, 150))
            write(root / f'images/{split}/ADE_{seed}.jpg', image)
            write(root / f'annotations/{split}/ADE_{seed}.png', mask)
    return root


def cityscapes(root, trained):
    for split, seeds in (('train', (0, 1)), ('val', (2,))):
        for seed in seeds:
            image, ids = example(seed, (0, 3, 7, 8, 33, 30))
            stem = f'{split}/aachen/aachen_{seed}_19'
            write(root / f'leftImg8bit/{stem}_leftImg8bit.png', image)
            write(root / f'gtFine/{stem}_gtFine_labelIds.png', ids)
            write(root / f'gtFine/{stem}_gtFine_color.png', image)
            if trained:
                table = np.full(34, 255)
                table[list(CITYSCAPES)] = np.arange(19)
                write(root / f'gtFine/{stem}_gtFine_labelTrainIds.png', table[ids])
    return root


@pytest.mark.parametrize('inside', ['', 'VOCdevkit/VOC2012', 'VOC2012'])
def test_voc(tmp_path, inside):
    voc(tmp_path / inside)
    data = DenseData(str(tmp_path), 4)
    assert data.layout.name == 'VOC' and data.num_classes == 21 and data.shape == (12, 20)
    assert [f.name for f, _ in data.files['train']] == [f'2007_{i}.jpg' for i in range(3)]
    assert [f.stem for f, _ in data.files['test']] == ['2007_3', '2007_4']
    wanted = example(3, (0, 1, 20, 255))[1]
    assert (data.mask('test', 0) == np.where(wanted == 255, -1, wanted)).all()


@pytest.mark.parametrize('inside', ['', 'ADEChallengeData2016'])
def test_ade20k_has_150_classes(tmp_path, inside):
    ade(tmp_path / inside)
    data = DenseData(str(tmp_path), 4)
    assert data.layout.name == 'ADE20K' and data.num_classes == 150
    assert (data.mask('test', 0) == example(2, (0, 1, 2, 150))[1] - 1).all()  # 0 is none


def test_cityscapes_by_train_ids_and_by_label_ids(tmp_path):
    own = DenseData(str(cityscapes(tmp_path / 'ids', False)), 4)
    trained = DenseData(str(cityscapes(tmp_path / 'train', True)), 4)
    for data in (own, trained):
        assert data.layout.name == 'Cityscapes' and data.num_classes == 19
    assert [m.name for _, m in own.files['test']] == ['aachen_2_19_gtFine_labelIds.png']
    assert [m.name for _, m in trained.files['test']] == ['aachen_2_19_gtFine_labelTrainIds.png']
    for split, count in (('train', 2), ('test', 1)):
        for i in range(count):
            assert (own.mask(split, i) == trained.mask(split, i)).all()
    assert set(np.unique(own.mask('train', 0))) <= {-1, 0, 1, 18}  # road, sidewalk, bicycle


def test_cityscapes_ids_are_the_published_ones():
    """cityscapesScripts' labels.py, as mmseg's convert_datasets/cityscapes uses it."""
    names = 'road sidewalk building wall fence pole light sign vegetation terrain sky person rider'
    assert len(names.split()) + len('car truck bus train motorcycle bicycle'.split()) == 19
    assert dict(zip(CITYSCAPES, range(19)))[23] == 10  # sky
    assert dict(zip(CITYSCAPES, range(19)))[26] == 13 and len(set(CITYSCAPES)) == 19  # car


def test_a_run_is_the_same_in_either_layout(tmp_path):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    net = MODELS.build(dict(VIT))
    net.init_weights()
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    config = f'model = {dict(type="mssl_plugins.SimCLR", backbone=VIT)}\n'
    torch.save(dict(state_dict=state, meta=dict(cfg=config)), tmp_path / 'vit.pth')
    voc(tmp_path / 'voc', (0, 1, 2, 255))
    own, rows = tmp_path / 'own', []
    for split in ('train', 'val'):
        for name in (tmp_path / f'voc/ImageSets/Segmentation/{split}.txt').read_text().split():
            for kind, source in (
                ('img', f'JPEGImages/{name}.jpg'),
                ('ann', f'SegmentationClass/{name}.png'),
            ):
                (own / kind / split).mkdir(parents=True, exist_ok=True)
                (own / kind / split / source.split('/')[1]).write_bytes(
                    (tmp_path / 'voc' / source).read_bytes()
                )
    for folder in ('voc', 'own'):
        run = DenseEvaluation(
            FrozenBackbone(str(tmp_path / 'vit.pth')),
            DenseData(str(tmp_path / folder), 4),
            tmp_path / f'{folder}-work',
            EvaluationOptions(batch_size=2, ks=[3]),
        )
        rows.append([r['value'] for r in run.run(['patch-knn', 'hummingbird'])])
    assert rows[0] == rows[1] and min(rows[0]) > 0


def test_what_is_missing_is_named(tmp_path):
    def refused(folder, words, error=FileNotFoundError):
        with pytest.raises(error, match=words):
            DenseData(str(folder), 4)

    one = voc(tmp_path / 'list')
    (one / 'ImageSets/Segmentation/val.txt').unlink()
    refused(one, 'val.txt: it names the images')
    one = voc(tmp_path / 'mask')
    (one / 'SegmentationClass/2007_1.png').unlink()
    refused(one, '1 of 3 images .* no mask.*2007_1.png')
    one = voc(tmp_path / 'beyond', (0, 1, 21))
    refused(one, 'label 21, beyond the 21 classes of VOC', ValueError)
    one = ade(tmp_path / 'ade')
    (one / 'images/validation').rename(one / 'images/val')
    refused(one, 'no such folder: .*images/validation')
    one = cityscapes(tmp_path / 'city', False)
    (one / 'leftImg8bit/val').rename(one / 'leftImg8bit/test')
    refused(one, 'leftImg8bit/val/CITY')
    refused(tmp_path / 'nothing', 'DIR/img/train.*Pascal VOC, ADE20K or Cityscapes')
    assert find_layout(voc(tmp_path / 'good')).ignore == ()
