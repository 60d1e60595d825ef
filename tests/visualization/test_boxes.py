"""Figures of MaskCo's boxes and of what its mask prediction head brings back."""

import numpy as np
import pytest
import torch

from helpers.maskco import CHANNELS, batch, build
from mssl_plugins.registry import MODELS


def test_boxes_are_drawn_where_they_are():
    from mssl_plugins.visualization.boxes import MASKED, NEGATIVE, draw_boxes

    views = [np.full((32, 32, 3), value, np.uint8) for value in (200, 90)]
    keys = np.array([[8.0, 8.0, 16.0, 24.0], [0.0, 0.0, 8.0, 8.0]])
    image = draw_boxes(views, np.array([4, 4, 20, 12]), keys, tile=64)
    assert image.dtype == np.uint8 and image.shape[1] == 3 * 64 + 4 * 6
    query, masked, key = (image[-70:-6, 6 + i * 70 : 70 + i * 70] for i in range(3))
    assert (masked[8:24, 8:40] == 128).all() and (masked == 200).all(-1).sum() == 64 * 64 - 16 * 32
    assert (query[16, 8] == MASKED).all() and (query[40, 40] == 200).all()
    assert (
        (key[32, 16] == MASKED).all()
        and (key[8, 0] == NEGATIVE).all()
        and (key[60, 60] == 90).all()
    )
    with pytest.raises(ValueError, match='2 views'):
        draw_boxes(views[:1], np.zeros(4), keys)


def test_mph_image_and_its_maps():
    from mssl_plugins.visualization.mph import components, figure, similarity_map

    rng = np.random.default_rng(0)
    target = rng.normal(size=(6, 4, 5))
    assert np.allclose(similarity_map(3 * target, target), 1)
    assert np.allclose(similarity_map(-target, target), -1)
    ours, theirs = components(target, target)
    assert (ours == theirs).all() and ours.shape == (4, 5, 3)
    assert (ours.min((0, 1)) == 0).all() and (ours.max((0, 1)) == 255).all()
    # a feature that varies most along one direction is the first component
    ramp = np.zeros((6, 4, 5))
    ramp[2] = np.arange(20).reshape(4, 5)
    order = components(ramp, ramp)[0][..., 0].ravel().astype(int)
    assert np.allclose(np.abs(np.diff(order)), 255 / 19, atol=1)
    model = build().eval()
    x, samples = batch(2, dtype=torch.float32)
    masked, predicted, key = model.dense(x[0], model.boxes(samples, x[0])[0])
    assert predicted.shape == key.shape == (2, CHANNELS, 8, 8)
    # a fresh teacher is its student, MPH and all
    torch.testing.assert_close(key, model.neck(model.backbone(x[0]))[0].detach())
    images = np.zeros((2, 32, 32, 3), np.uint8)
    sheet = figure(images, images, predicted.detach().numpy(), key.numpy(), tile=32)
    assert sheet.shape == (22 + 2 * 38 + 6, 5 * 38 + 6, 3)


def test_images_from_the_command_line(tmp_path):
    from argparse import ArgumentParser

    from mmengine.config import Config

    from mssl_plugins.catalogue import find
    from mssl_plugins.commands.figures import OPTIONS
    from mssl_plugins.visualization import boxes, mph

    name = 'maskco_resnet18_1xb32-coslr-4e_tiny20'
    model = MODELS.build(Config.fromfile(find(name)).model)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), weights)
    for figure, module, extra in (('boxes', boxes, []), ('mph', mph, [str(weights)])):
        parser = ArgumentParser()
        OPTIONS[figure](parser)
        out = tmp_path / f'{figure}.png'
        module.run(parser.parse_args([name, *extra, '--rows', '2', '--out', str(out)]))
        assert out.stat().st_size > 1000
    with pytest.raises(ValueError, match='configs/maskco'):
        parser = ArgumentParser()
        OPTIONS['boxes'](parser)
        boxes.run(parser.parse_args(['simclr_resnet18_1xb64-coslr-8e_scenes']))
