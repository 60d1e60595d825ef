"""``make_subset``: lists of images and classes, and what reads them."""

from functools import partial

import pytest

from mssl_plugins.datasets.labelled import LabelledImages, labels_of, list_lines


@pytest.fixture
def make_subset(run_tool):
    """Runs tools/make_subset.py in this process; status and text."""
    return partial(run_tool, 'make_subset')


def test_subset_command_and_what_reads_it(images, tmp_path, make_subset):
    ten = tmp_path / 'meta/ten.txt'
    status, text = make_subset(images, ten, '--fraction', 0.1)
    assert status == 0 and '6 of 60 images' in text, text
    lines = ten.read_text().splitlines()
    assert len(lines) == 6 and all(line.split()[1] == line[0] for line in lines)
    make_subset(images, tmp_path / 'again.txt', '--fraction', 0.1)
    make_subset(images, tmp_path / 'other.txt', '--fraction', 0.1, '--seed', 1)
    assert (tmp_path / 'again.txt').read_text() == ten.read_text()
    assert (tmp_path / 'other.txt').read_text() != ten.read_text()
    part = LabelledImages(str(images), 'train', list_file=str(ten), pipeline=[])
    assert sorted(labels_of(part).tolist()) == [0, 0, 1, 1, 2, 2]
    assert list_lines(part, range(6)) == lines
    two = tmp_path / 'two.txt'
    assert make_subset(images, two, '--classes', 2)[0] == 0
    names = two.read_text().split()
    assert len(names) == 2 and set(names) < set('abc')
    part = LabelledImages(str(images), 'train', classes=str(two), pipeline=[])
    assert len(part) == 40 and part.CLASSES == tuple(names)
    status, text = make_subset(images, ten, '--classes', two, '--per-class', 3)
    assert status == 0 and '6 of 40 images' in text
    with pytest.raises(FileNotFoundError, match='no list'):
        LabelledImages(str(images), 'train', list_file='meta/absent.txt')


def test_subset_mistakes(images, tmp_path, make_subset):
    out = tmp_path / 'x.txt'
    for argv, word in (
        ([images, out], 'give --fraction'),
        ([images, out, '--classes', 9], 'has 3 classes'),
        ([tmp_path / 'absent', out, '--fraction', 0.1], 'no labeled images'),
        ([images, out, '--per-class', 21], 'has 20 images'),
        ([images, out, '--classes', tmp_path / 'no.txt', '--per-class', 1], 'no list of classes'),
    ):
        status, text = make_subset(*argv)
        assert status == 1 and word in text and not out.exists(), text
