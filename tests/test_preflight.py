"""What is said of a folder before it is trained on."""

import cv2
import numpy as np
import pytest

from helpers.messy import make_messy_folder
from mssl_plugins import preflight
from mssl_plugins.datasets import inspection
from mssl_plugins.errors import UserError
from mssl_plugins.files import read_lines


@pytest.fixture(scope='module')
def messy(tmp_path_factory):
    return make_messy_folder(tmp_path_factory.mktemp('photos') / 'mine', good=90)


def test_every_file_is_accounted_for(messy):
    others = {'one.gif', 'sub/two.GIF', 'notes'}
    (messy / 'sub').mkdir()
    for name in (*others, '.hidden.gif'):
        (messy / name).touch()
    files = {p.relative_to(messy).as_posix() for p in messy.rglob('*') if p.is_file()}
    files.remove('.hidden.gif')
    survey, count = preflight.survey(str(messy)), len(files) - len(others)
    assert {item.path for item in survey.found} == files - others
    assert [line.split(' (')[0] for line in survey.faults()] == [
        '  cut.jpg: truncated',
        '  empty.jpg: empty',
        '  text.jpg: no image that can be decoded',
    ]
    assert survey.faults(1) == ['  cut.jpg: truncated', '  ... and 2 more']
    assert {item.path: item.fault.split(' (')[0] for item in survey.faulty} == {
        'cut.jpg': 'truncated',
        'empty.jpg': 'empty',
        'text.jpg': 'no image that can be decoded',
    }
    assert survey.duplicates == 1 and len(survey.used) == count - 4
    said = '\n'.join(survey.lines())
    for part in (
        f'{count} image files, {count - 4} to learn from',
        '16-bit gray',
        '8-bit CMYK',
        'palette',
        '8-bit RGB with alpha',
        'taken once',
        'not used: 1 truncated',
        '1 empty',
        'other files, not looked at: 2 .gif, 1 without suffix (images end in .jpg, ',
    ):
        assert part in said, (part, said)
    low, middle, high = np.percentile(survey.sides(), (5, 50, 95)).round().astype(int)
    assert f'short side {low} / {middle} / {high} px' in said


def test_names_that_no_line_of_a_list_keeps_are_not_used(tmp_path):
    for name in ('two\nlines.jpg', 'a\rreturn.jpg', ' before.jpg', 'with space.jpg', 'plain.jpg'):
        cv2.imwrite(str(tmp_path / 'photo.png'), np.full((40, 40, 3), len(name), np.uint8))
        (tmp_path / 'photo.png').rename(tmp_path / name)
    survey = preflight.survey(str(tmp_path))
    assert [item.path for item in survey.used] == ['plain.jpg', 'with space.jpg']
    assert len(survey.faulty) == 3 and len(survey.faults()) == 3
    assert all('its name has a line break, or a space at an end' in x for x in survey.faults())
    listed = preflight.write_not_used(survey, tmp_path).read_text().splitlines()
    assert [line.split('\t')[0] for line in listed] == [
        ' before.jpg',
        'a\\rreturn.jpg',
        'two\\nlines.jpg',
    ]
    lists = preflight.write_lists(survey, tmp_path)
    kept = [line for path in lists.values() for line in read_lines(path)]
    assert sorted(kept) == ['plain.jpg', 'with space.jpg']


def test_small_images_are_left_out_and_that_is_said(messy):
    survey = preflight.survey(str(messy), min_size=200)
    assert survey.sides().min() >= 200
    small = [item for item in survey.faulty if 'smaller than --min-size' in item.fault]
    assert len(small) > 4 and len(small) + 3 == len(survey.faulty)
    # they were asked for, so they are no faults
    preflight.check_faults(survey, 3 / (len(survey.found) - len(small)))
    total = len(survey.found) - len(small)
    with pytest.raises(UserError, match=f' 3 of {total} files cannot be used, more than'):
        preflight.check_faults(survey, 2.9 / total)
    small = survey._replace(found=small)
    with pytest.raises(UserError, match='images are smaller than --min-size'):
        preflight.check_faults(small, 0.01)


def test_lists_name_each_image_once(messy, tmp_path):
    survey = preflight.survey(str(messy))
    files = preflight.write_lists(survey, tmp_path)
    train, held_out = (files[name].read_text().splitlines() for name in ('train', 'held_out'))
    assert not set(train) & set(held_out)
    assert sorted(train + held_out) == sorted(item.path for item in survey.used)
    listed = preflight.write_not_used(survey, tmp_path)
    reasons = dict(line.split('\t') for line in listed.read_text().splitlines())
    assert reasons['cut.jpg'] == 'truncated' and len(reasons) == 3


@pytest.mark.parametrize('count, held_out', [(8, 2), (100, 25), (400, 64), (10_000, 500)])
def test_held_out_images(count, held_out):
    names = [f'{i}.jpg' for i in range(count)]
    parts = preflight.split(names)
    assert len(parts['held_out']) == held_out and len(parts['train']) == count - held_out
    # an image more changes what is held out by no more than one
    more = preflight.split([*names, 'new.jpg'])
    assert len(set(more['held_out']) ^ set(parts['held_out'])) <= 2


def test_fewer_images_than_a_batch_is_no_training(messy):
    survey = preflight.survey(str(messy))
    with pytest.raises(UserError, match=r'fewer than a batch of 128 .* lower --batch-size'):
        preflight.check_counts(survey, 128)


def test_a_full_disk_is_foreseen(tmp_path):
    with pytest.raises(UserError, match='do not fit'):
        preflight.disk_line(str(tmp_path / 'run'), 2**60, 3)
    said = preflight.disk_line(str(tmp_path / 'run'), 2**20, 3, 2**21)
    assert 'checkpoints 1 MiB each, 3 kept; features of all images 2.0 MiB' in said


def test_of_a_huge_folder_a_part_is_decoded(tmp_path, monkeypatch):
    """Headers and ends tell size, copies and cut files; damage inside shows later."""
    monkeypatch.setattr(inspection, 'ENDS', 512)
    folder = make_messy_folder(tmp_path / 'mine', good=12)
    good = (folder / '001.jpg').read_bytes()
    middle = len(good) // 2
    (folder / 'inside.jpg').write_bytes(good[:middle] + b'\x00' * 64 + good[middle + 64 :])
    read, real = [], inspection.decode_checked
    monkeypatch.setattr(inspection, 'decode_checked', lambda data: read.append(1) or real(data))
    whole, part = (preflight.survey(str(folder), decoded=n) for n in (100, 5))
    assert len(read) < len(whole.found) + 12 and whole.decoded is None and part.decoded == 5
    assert [item[:4] for item in part.found] == [item[:4] for item in whole.found]
    assert {item.path for item in part.faulty} == {'cut.jpg', 'empty.jpg', 'text.jpg'}
    # the same ends, another middle: no copy
    assert part.duplicates == whole.duplicates == 1
    assert '5 files were decoded' in '\n'.join(part.lines())
    assert 'were decoded' not in '\n'.join(whole.lines())


def test_a_folder_without_images_says_what_is_there(tmp_path):
    for name in ('a.HEIC', 'b.heic', 'c.npy', '.hidden.raw'):
        (tmp_path / name).write_bytes(b'1')
    with pytest.raises(UserError) as found:
        preflight.survey(str(tmp_path))
    assert f'no image file in {tmp_path}, but 2 .heic, 1 .npy (images end in ' in str(found.value)
    assert str(found.value).endswith('; --channels N takes .npy')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='no image file in .*empty$'):
        preflight.survey(str(tmp_path / 'empty'))
