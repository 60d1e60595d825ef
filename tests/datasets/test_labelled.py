"""Labeled images of every layout, and balanced parts of them."""

import numpy as np
import pytest

from helpers.evaluation import pack, write_images
from mssl_plugins.datasets.labelled import LabelledImages, balanced, labels_of, list_lines


def test_balanced_draw():
    labels = [0] * 50 + [1] * 30 + [2] * 7
    index = balanced(labels, fraction=0.2)
    counts = np.bincount(np.array(labels)[index])
    assert counts.tolist() == [6, 6, 6] and index == sorted(set(index))
    assert balanced(labels, fraction=0.2) == index != balanced(labels, fraction=0.2, seed=1)
    assert np.bincount(np.array(labels)[balanced(labels, fraction=1.0)]).tolist() == [29, 29, 7]
    assert np.bincount(np.array(labels)[balanced(labels, fraction=0.001)]).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match='class 2 has 7 images, fewer than the 8'):
        balanced(labels, per_class=8)
    for wrong in (dict(), dict(fraction=1.5), dict(per_class=0), dict(fraction=0.1, per_class=1)):
        with pytest.raises(ValueError):
            balanced(labels, **wrong)
    with pytest.raises(ValueError, match='label of every image'):
        balanced([0, -1], per_class=1)


def test_layouts(tmp_path, images):
    """Packed images, Tiny-ImageNet, CIFAR-10, a flat ImageNet val."""
    pack(tmp_path / 'mini_train.npz', [0, 0, 1, 1])
    pack(tmp_path / 'mini_test.npz', [0, 1])
    train = LabelledImages(str(tmp_path / 'mini'), 'train', pipeline=[])
    assert labels_of(train).tolist() == [0, 0, 1, 1]
    assert len(LabelledImages(str(tmp_path / 'mini'), 'val')) == 2
    lines = list_lines(train, [1, 2])
    (tmp_path / 'two.txt').write_text('\n'.join(lines))
    part = LabelledImages(str(tmp_path / 'mini'), 'train', list_file=str(tmp_path / 'two.txt'))
    assert labels_of(part).tolist() == [0, 1]
    for text, word in (
        ('9 0', 'index 9'),
        ('0 1', 'the label 1, the set 0'),
        ('a/b.png 0', 'without files'),
        ('', 'no image'),
    ):
        (tmp_path / 'bad.txt').write_text(text)
        with pytest.raises(ValueError, match=word):
            LabelledImages(str(tmp_path / 'mini'), 'train', list_file=str(tmp_path / 'bad.txt'))
    with pytest.raises(FileNotFoundError, match='name one of them, .*mini'):
        LabelledImages(str(tmp_path), 'train')
    with pytest.raises(ValueError, match='class folders'):
        LabelledImages(str(tmp_path / 'mini'), classes=['a'])
    with pytest.raises(ValueError, match="did you mean 'train'"):
        LabelledImages(str(images), 'trian')

    tiny = tmp_path / 'tiny'
    write_images(tiny / 'raw', ['n1', 'n2'], 3)
    for name in ('n1', 'n2'):
        (tiny / 'train' / name).mkdir(parents=True)
        (tiny / 'raw' / name).rename(tiny / 'train' / name / 'images')
    write_images(tiny / 'val', ['images'], 2)
    (tiny / 'val/val_annotations.txt').write_text(
        '00.png\tn2\t0\t0\t1\t1\n01.png\tn1\t0\t0\t1\t1\n'
    )
    (tiny / 'wnids.txt').write_text('n2\nn1\n')
    train = LabelledImages(str(tiny), 'train', pipeline=[])
    assert labels_of(train).tolist() == [0, 0, 0, 1, 1, 1]
    val = LabelledImages(str(tiny), 'val', pipeline=[])
    assert labels_of(val).tolist() == [1, 0]
    for dataset, split, index in ((train, 'train', [0, 5]), (val, 'val', [0, 1])):
        path = tiny / f'{split}.txt'
        path.write_text('\n'.join(list_lines(dataset, index)))
        part = LabelledImages(str(tiny), split, list_file=f'{split}.txt', pipeline=[])
        assert labels_of(part).tolist() == labels_of(dataset)[index].tolist()
        assert part[0]['img'].shape == (16, 16, 3)

    flat = tmp_path / 'flat'
    write_images(flat / 'train', 'ab', 1)
    write_images(flat / 'deep', 'x', 2)
    (flat / 'deep/x').rename(flat / 'val')
    (flat / 'meta').mkdir()
    (flat / 'meta/val.txt').write_text('00.png 1\n01.png 0\n')
    assert labels_of(LabelledImages(str(flat), 'val')).tolist() == [1, 0]
