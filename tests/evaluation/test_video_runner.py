"""Video object segmentation: a run equals its parts, goes on where it was, and what is refused."""

import json
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from helpers.processes import in_two_processes
from helpers.tools import tool
from helpers.videos import square, write_videos
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.label_propagation import (
    carry,
    first_labels,
    input_sides,
    to_mask,
)
from mssl_plugins.evaluation.protocols import choose
from mssl_plugins.evaluation.video_data import VideoData
from mssl_plugins.evaluation.video_runner import Segmenter, VideoEvaluation
from mssl_plugins.evaluation.video_scores import score_video

VIT = dict(
    type='mssl_plugins.ViT',
    img_size=32,
    patch_size=4,
    arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
)
RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)


@pytest.mark.parametrize(
    'size, patch, wanted',
    [
        ((480, 854), 16, (480, 832)),
        ((480, 854), 8, (480, 832)),
        ((854, 480), 16, (832, 480)),
        ((1080, 1920), 16, (480, 832)),
        ((480, 854), 14, (476, 840)),
        ((480, 854), 32, (480, 832)),
    ],
)
def test_sides_are_the_released_evaluations(size, patch, wanted):
    assert input_sides(*size, patch) == wanted


def save(path, backbone):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    net = MODELS.build(dict(backbone))
    net.init_weights()
    if backbone is VIT:
        torch.nn.init.normal_(net.patch_embed.projection.weight, std=0.1)
        net.pos_embed.data.mul_(0.01)
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    config = f'model = {dict(type="mssl_plugins.SimCLR", backbone=backbone)}\n'
    torch.save(dict(state_dict=state, meta=dict(cfg=config)), path)
    return path


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('videos')
    save(folder / 'vit.pth', VIT)
    save(folder / 'resnet.pth', RESNET)
    write_videos(folder / 'davis')
    return folder


def run(files, work, name='vit', **given):
    backbone = FrozenBackbone(str(files / f'{name}.pth'))
    return VideoEvaluation(backbone, VideoData(str(files / 'davis')), work, short=64, **given).run()


def test_a_run_equals_its_parts_in_one_process_and_two(files, tmp_path):
    rows = run(files, tmp_path / 'one')
    scores = dict(J=[], F=[])
    segmenter = Segmenter(FrozenBackbone(str(files / 'vit.pth')).model, 64)
    for name in ('one', 'two'):
        folder = files / 'davis/JPEGImages/480p' / name
        frames = [np.array(Image.open(f)) for f in sorted(folder.iterdir())]
        truth = [
            np.array(Image.open(f))
            for f in sorted((files / 'davis/Annotations/480p' / name).iterdir())
        ]
        maps = [segmenter.map_of(f, (64, 64)) for f in frames]
        grid = (16, 16)
        labels = first_labels(truth[0], grid, 2)
        predicted = [to_mask(m, (64, 64), (64, 96)) for m in carry(iter(maps), labels)]
        found = score_video(predicted, truth, 2)
        scores = {k: scores[k] + found[k] for k in scores}
        masks = list(segmenter.masks(iter(frames), truth[0]))
        assert (masks[0] == truth[0]).all() and len(masks) == 6
        assert all((a == b).all() for a, b in zip(masks[1:], predicted[1:]))
    j, f = (100 * float(np.mean(scores[k])) for k in 'JF')
    assert {r['metric']: r['value'] for r in rows} == pytest.approx(
        {'J&F': (j + f) / 2, 'J': j, 'F': f}, abs=1e-3
    )
    assert j > 60  # the squares are followed
    assert 'patches, 7 frames, radius 12, top 5, T=0.1, short side 64' in rows[0]['setting']
    for other in in_two_processes(lambda where=tmp_path / 'two': run(files, where), tmp_path):
        assert [r['value'] for r in other] == [r['value'] for r in rows]


def test_a_resnet_is_measured_on_conv4(files, tmp_path):
    rows = run(files, tmp_path, 'resnet')
    assert rows[0]['setting'].startswith('map4') and 0 <= rows[0]['value'] <= 100


@pytest.fixture
def evaluate(run_tool):
    """Runs tools/evaluate.py in this process; status and text."""
    return partial(run_tool, 'evaluate')


def test_the_command_goes_on_where_it_was(files, tmp_path, evaluate):
    argv = (
        *(files / 'vit.pth', '--data', files / 'davis', '--protocols', 'video-segmentation'),
        *('--device', 'cpu', '--size', '64', '--work-dir', tmp_path / 'work'),
        *('--out', tmp_path / 'rows.json'),
    )
    status, text = evaluate(*argv)
    assert not status, text
    assert '2 videos of 12 frames' in text
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert [r['metric'] for r in rows] == ['J&F', 'J', 'F']
    kept = {f.name: f for f in (tmp_path / 'work').rglob('*.json')}
    assert {'one.json', 'two.json', 'results.json'} <= set(kept)
    kept['results.json'].unlink()
    kept['two.json'].unlink()
    before = kept['one.json'].stat().st_mtime_ns
    status, text = evaluate(*argv)
    again = json.loads((tmp_path / 'rows.json').read_text())
    assert [r['value'] for r in again] == [r['value'] for r in rows]
    assert kept['one.json'].stat().st_mtime_ns == before


def test_one_line_for_mistakes(files, tmp_path, evaluate):
    lost = write_videos(tmp_path / 'lost')
    (lost / 'Annotations/480p/two/00003.png').unlink()
    empty = write_videos(tmp_path / 'empty', middle='')
    Image.fromarray(np.zeros((64, 96), np.uint8)).save(empty / 'Annotations/one/00000.png')
    small = write_videos(tmp_path / 'small')
    Image.fromarray(square(0, 0, 4, (32, 48))).save(small / 'Annotations/480p/one/00000.png')
    for data, more, words in (
        (lost, [], '1 of 6 frames of two have no mask'),
        (empty, [], 'holds no object'),
        (small, [], 'the mask is 48 x 32 px, the first frame 96 x 64 px'),
        (tmp_path / 'nothing', [], 'ImageSets/2017/val.txt'),
        (files / 'davis', ['--classes', 'x'], '--classes is for images'),
        (files / 'davis', ['--protocols', 'video-segmentation,hummingbird'], 'two commands'),
    ):
        status, text = evaluate(
            *(files / 'vit.pth', '--data', data, '--protocols', 'video-segmentation'),
            *('--device', 'cpu', '--size', '64', '--work-dir', tmp_path / 'work', *more),
        )
        lines = [line for line in text.splitlines() if line.startswith('error')]
        assert status != 0 and len(lines) == 1 and words in lines[0], text
    assert choose('all', 'vit') and 'video-segmentation' not in choose('all', 'vit')


def test_the_figure_draws_the_masks(files, tmp_path):
    folder = files / 'davis/JPEGImages/480p/one'
    mask = files / 'davis/Annotations/480p/one/00000.png'
    out = tmp_path / 'out.mp4'
    tool('visualize').main(
        [
            str(a)
            for a in ('propagation', files / 'vit.pth', folder, mask, '--out', out, '--size', 64)
        ]
        + ['--masks', str(tmp_path / 'masks'), '--tile', '96']
    )
    segmenter = Segmenter(FrozenBackbone(str(files / 'vit.pth')).model, 64)
    frames = [np.array(Image.open(f)) for f in sorted(folder.iterdir())]
    wanted = list(segmenter.masks(iter(frames), np.array(Image.open(mask))))
    for i, found in enumerate(wanted):
        assert (np.array(Image.open(tmp_path / f'masks/{i:05d}.png')) == found).all()
    video = cv2.VideoCapture(str(out))
    good, shown = video.read()
    assert good and shown.shape == (64, 192, 3)
    tinted = np.abs(shown[:, 96:].astype(int) - shown[:, :96]).sum(-1) > 90
    assert (tinted == (wanted[0] > 0)).mean() > 0.9
