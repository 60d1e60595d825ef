"""What is measured on: repeatable views, a key of every image, labels of both sets."""

import os

import numpy as np
import pytest

from helpers.evaluation import pack
from mssl_plugins.evaluation import store
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData, input_size, middle_image


def test_augmented_views_are_repeatable(tmp_path, images):
    """Drawn from (view, index): a resumed extraction goes on as it began."""
    data = EvaluationData(str(images), tmp_path, size=12)
    sets = [store._Drawn(data.augmented(), view) for view in (0, 0, 1)]
    first, again, other = ([np.asarray(s[i]['inputs'][0]) for i in range(4)] for s in sets)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def test_other_data_or_weights_are_measured_anew(tmp_path, images, checkpoints):
    def key(**kwargs):
        return EvaluationData(str(images), tmp_path, **{**dict(native=16), **kwargs}).key

    before = key()
    assert before == key()
    assert len({before, key(size=12), key(train_images=30), key(resize=20)}) == 4
    file = images / 'train/a/00.png'
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    assert key() != before
    keys = {FrozenBackbone(str(checkpoints / f'{n}.pth')).key for n in ('vit', 'resnet')}
    assert len(keys) == 2


def test_labels_that_only_the_test_set_has(tmp_path):
    for split, labels in (('train', [0, 1, 0, 1]), ('val', [0, 2])):
        pack(tmp_path / f'set_{split}.npz', labels)
    with pytest.raises(ValueError, match=r'2 classes, the test set 2: no training image .* 2'):
        EvaluationData(str(tmp_path / 'set'), tmp_path)


def test_one_thumbnail_does_not_set_the_size_of_all():
    """The size goes by the median of a few images, not by the first."""
    sides = [(40, 60), (300, 400), (256, 200), (500, 500), (180, 900)]
    images = [dict(img=np.zeros((*side, 3), np.uint8)) for side in sides]
    assert middle_image(images).shape == (256, 200, 3)
    assert input_size(middle_image(images)) == (224, 256)
    assert middle_image(images[:1]).shape == (40, 60, 3)
    assert input_size(middle_image(images[:1])) == (40, 40)
