"""Every figure of tools/visualize.py, from the command line's own entry."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.tools import tool
from mssl_plugins.visualization import FIGURES
from mssl_plugins.visualization.canvas import (
    NAME,
    distinct_names,
    draw_segments,
    find_images,
    name_line,
    row_names,
    sheet,
)
from mssl_plugins.visualization.views import COLORS, row

ROOT = Path(__file__).parents[2]
SCENES = str(ROOT / 'configs/mixmask/mixmask_simclr_resnet18_1xb64-coslr-8e_scenes.py')


@pytest.fixture
def run_dirs(tmp_path):
    for name, offset in (('base', 0.0), ('mixed', 1.0)):
        for part in (0, 1):  # a run and its resumption
            log = tmp_path / name / f'2026010{part}' / 'vis_data'
            log.mkdir(parents=True)
            lines = [
                dict(loss=5.0 - i / 10 + offset, step=i, epoch=1)
                for i in range(10 * part, 10 * part + 12)
            ]
            lines.append({'knn/top1_k20': 0.3 + part / 10, 'step': 10 * part + 11})
            (log / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return [f'{n}={tmp_path / n}' for n in ('base', 'mixed')]


def test_all_figures_are_offered(capsys):
    with pytest.raises(SystemExit):
        tool('visualize').main(['--help'])
    shown = capsys.readouterr().out
    assert all(name in shown for name in FIGURES)


def test_mixmask_of_images_and_scenes(tmp_path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((40, 60, 3), 50 + 150 * i, np.uint8))
    out = tmp_path / 'new' / 'mix.png'
    tool('visualize').main(
        ['mixmask', str(tmp_path), '--out', str(out), '--pairs', '1', '--size', '64', '--grid', '4']
    )
    drawn = cv2.imread(str(out))
    tile, gap, head = 160, 6, 22
    mixed = drawn[
        head + gap : head + gap + tile, gap + 6 * (tile + gap) : gap + 6 * (tile + gap) + tile
    ]
    mask = drawn[
        head + gap : head + gap + tile, gap + 5 * (tile + gap) : gap + 5 * (tile + gap) + tile
    ]
    assert set(np.unique(mixed)) == {50, 200}
    assert ((mixed == 50) == (mask == 255)).all()  # M = 1 shows the anchor
    tool('visualize').main(['mixmask', '--out', str(out), '--pairs', '1', '--size', '32'])


def test_curves_join_resumptions(tmp_path, run_dirs):
    from mssl_plugins.visualization.curves import read_curves

    curves = read_curves(tmp_path / 'base')
    assert [s for s, _ in curves['loss']] == list(range(22))
    out = tmp_path / 'curves.png'
    tool('visualize').main(['curves', *run_dirs, '--out', str(out)])
    assert cv2.imread(str(out)).std() > 5
    height, width = cv2.imread(str(out)).shape[:2]
    tool('visualize').main(['curves', *run_dirs, '--keys', *['loss'] * 5, '--out', str(out)])
    wide = cv2.imread(str(out))  # two rows of three panels, the last place empty; one legend
    legend = 0.25 * 120  # inches, dots an inch
    assert wide.shape[0] == pytest.approx(2 * height - legend, abs=2)
    assert wide.shape[1] > 1.4 * width
    assert (wide[height + 5 :, 2 * wide.shape[1] // 3 + 5 :] == 255).all()
    with pytest.raises(ValueError, match="'los' was|no run logged 'accuracy'"):
        tool('visualize').main(['curves', *run_dirs, '--keys', 'accuracy', '--out', str(out)])
    with pytest.raises(FileNotFoundError, match='scalars.json'):
        tool('visualize').main(['curves', str(tmp_path / 'nothing'), '--out', str(out)])


def test_views_show_crops_and_boxes(tmp_path):
    out = tmp_path / 'views.png'
    tool('visualize').main(['views', SCENES, '--out', str(out), '--number', '2'])
    first = cv2.imread(str(out))
    tool('visualize').main(['views', SCENES, '--out', str(out), '--number', '2', '--seed', '1'])
    assert (first != cv2.imread(str(out))).any()
    cv2.imwrite(
        str(tmp_path / 'photo.jpg'),
        np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8),
    )
    tool('visualize').main(['views', SCENES, str(tmp_path / 'photo.jpg'), '--out', str(out)])


def test_row_of_views_draws_boxes_and_segments():
    gray = np.full((60, 80, 3), 90, np.uint8)
    labels = np.zeros((60, 80), np.uint8)
    labels[40:, 60:] = 1
    results = dict(
        img=[gray, gray],
        view_boxes=np.array([[10, 5, 50, 45]]),
        view_segments=[labels, np.zeros_like(labels)],
        view_bboxes=[np.array([[4, 6, 30, 20]]), np.zeros((0, 4))],
    )
    first, view, empty = row(results, gray, np.array([[55, 8, 70, 30]]), labels)
    assert first[5, 30].tolist() == [60, 160, 255] and first[20, 10].tolist() == [
        60,
        160,
        255,
    ]  # the crop's frame
    assert first[8, 60].tolist() == [255, 60, 60] and view[6, 10].tolist() == [255, 60, 60]  # boxes
    for shown in (first, view):  # segments are tinted, the rest is as it was
        assert (shown[50, 70] != 90).any() and shown[55, 30].tolist() == [90] * 3
    for tile, color in ((view, COLORS[0]), (empty, COLORS[1])):  # each in its crop's color
        assert tile[0, 0].tolist() == tile[-1, -1].tolist() == list(color)
    assert (empty[1:-1, 1:-1] == 90).all() and (gray == 90).all()


def test_views_of_a_name_and_of_joined_sets(tmp_path, image_folder):
    out = tmp_path / 'views.png'
    tool('visualize').main(
        [
            'views',
            'asl_vit-b16_8xb512-coslr-800e_in100-coco',
            str(image_folder),
            '--out',
            str(out),
            '--number',
            '2',
        ]
    )
    assert cv2.imread(str(out)).std() > 5


@pytest.mark.parametrize(
    'argv, words',
    [
        (['mixmask', '--grid', '2', '--out', 'x.png'], 'grid 2'),
        (['mixmask', '--out', 'x.docx'], 'ends in'),
        (['mixmask', '/nowhere', '--out', 'x.png'], 'no image'),
    ],
)
def test_mistakes_are_one_line(argv, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['visualize.py', *argv])
    module = tool('visualize')
    assert module.run_cli(module.main) != 0
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and words in error[0]
    assert not list(tmp_path.iterdir())


def test_segments_color_only_segments():
    image = np.full((4, 4, 3), 100, np.uint8)
    labels = np.zeros((4, 4), int)
    labels[:2], labels[2, :2] = 1, 2
    shown = draw_segments(image, labels)
    assert (shown[3] == 100).all() and (shown[0, 0] != shown[2, 0]).any()
    assert sheet([[image, labels.astype(np.uint8)]], ['a', 'b'], tile=40).shape == (74, 98, 3)


def test_crops_of_views_differ_in_color():
    image = np.zeros((60, 80, 3), np.uint8)
    results = dict(img=[image, image], view_boxes=np.array([[2, 2, 20, 20], [40, 30, 70, 50]]))
    first = row(results, image)[0]
    assert first[2, 10].any() and first[30, 50].any() and (first[2, 10] != first[30, 50]).any()
    assert len(set(COLORS)) == len(COLORS) >= 10  # as many as DINO has crops


def test_views_show_every_readable_image_with_its_name(tmp_path, capsys):
    """What a data set finds, in its order; what cannot be read is left out, with a message."""
    folder, rng = tmp_path / 'mine', np.random.default_rng(0)
    (folder / 'sub').mkdir(parents=True)
    names = ['a.tif', 'b.pgm', 'c.JPG', 'd.webp', 'sub/é.tiff', 'sub/照片.png']
    for name in names:
        pixels = rng.integers(0, 256, (90, 80, 3), dtype=np.uint8)
        kind = dict(jpg='JPEG', tif='TIFF', pgm='PPM').get(name[-3:].lower())
        image = Image.fromarray(pixels)
        (image.convert('L') if name.endswith('pgm') else image).save(folder / name, kind)
    (folder / 'a broken.jpg').write_text('no image')
    assert [p.relative_to(folder).as_posix() for p in find_images(str(folder))] == names
    assert row_names(str(folder), find_images(str(folder))) == names
    out = tmp_path / 'views.png'
    tool('visualize').main(
        ['views', 'photos/simclr', str(folder), '--out', str(out), '--number', '6']
    )
    said = capsys.readouterr().err
    assert f'{folder}: 1 unreadable, left out: a broken.jpg' in said
    shown = cv2.imread(str(out))[..., ::-1]
    at = 28
    for name in names:  # each row's name below it
        at += 160
        line = name_line(name, shown.shape[1] - 12)
        assert line.min() < 100 and (shown[at : at + NAME, 6:-6] == line).all(), name
        at += NAME + 6
    assert at == shown.shape[0]
    with pytest.raises(ValueError, match='not a readable image'):
        tool('visualize').main(['views', 'photos/simclr', str(folder / 'a broken.jpg')])


def test_names_keep_what_tells_them_apart():
    plain = name_line('b.jpg', 200)
    assert (name_line('b.jpg', 200) == plain).all() and (name_line('c.jpg', 200) != plain).any()
    # the end of a long one, and no letter is lost
    long = 'x' * 200 + 'b.jpg'
    assert (name_line(long, 90) != name_line('x' * 200 + 'c.jpg', 90)).any()
    assert (name_line(long, 90) == name_line('y' + long, 90)).all()
    assert (name_line('é', 90) != name_line('è', 90)).any()
    assert (name_line('照', 90) == name_line('\\u7167', 90)).all()
    assert (name_line(long, 90, '0.911 ') != name_line(long, 90, '0.912 ')).any()


def test_checkpoints_and_runs_of_one_name_are_told_apart():
    assert distinct_names(['a/epoch_1.pth', 'b/epoch_2.pth']) == ['epoch_1', 'epoch_2']
    assert distinct_names(['a/x/epoch_1.pth', 'b/x/epoch_1.pth']) == ['a/x/epoch_1', 'b/x/epoch_1']
    assert distinct_names(['epoch_1.pth', 'b/epoch_1.pth']) == ['epoch_1', 'b/epoch_1']
    assert distinct_names(['a.pth', 'a.pth', 'b.pth']) == ['a (1)', 'a (2)', 'b']
    assert distinct_names(['only.pth']) == ['only']


def test_reconstructions_say_that_they_got_the_true_mean():
    from mssl_plugins.visualization.reconstruction import figure, titles

    assert titles(False) == ['image', 'seen', 'prediction', 'combined']
    assert titles(True)[2:] == [
        'prediction (true mean, std)',
        'combined (true mean, std)',
        'prediction without them',
    ]
    images, masks = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), bool)
    shown = figure(images, masks, images, plain=images + 77, tile=32)
    assert shown.shape[1] == 5 * 38 + 6 and (shown[28:60, 6 + 4 * 38 : -6] == 77).all()


def test_curves_of_a_folder_whose_name_looks_like_a_named_run(tmp_path, run_dirs):
    folder = tmp_path / 'lr=0.1'
    shutil.copytree(tmp_path / 'base', folder)
    out = tmp_path / 'curves.png'
    tool('visualize').main(['curves', str(folder), f'short={folder}', '--out', str(out)])
    assert out.stat().st_size > 10_000


def test_curves_of_a_killed_run(tmp_path, run_dirs):
    from mssl_plugins.visualization.curves import read_curves

    log = max((tmp_path / 'base').glob('*/vis_data/scalars.json'))
    whole = read_curves(tmp_path / 'base')
    log.write_bytes(log.read_bytes() + b'\n{"loss": 1.0}\n{"loss": 3.2, "st')
    assert read_curves(tmp_path / 'base') == whole
