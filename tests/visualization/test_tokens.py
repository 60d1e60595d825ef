"""The figure of iBOT's patch outputs: student of masked, teacher of whole images."""

import pytest
import torch

from helpers.dino import HEAD, VIT, build, move_teacher
from helpers.figures import drawn
from mssl_plugins.errors import UserError
from mssl_plugins.visualization import tokens as figures

MASKED = dict(VIT, mask_token=True)


def test_outputs_are_those_of_the_two_networks():
    """Token by token; only the student sees the mask."""
    model = build(MASKED, type='IBOT').eval()
    move_teacher(model)
    x = torch.randn(2, 3, 16, 16)
    torch.manual_seed(0)
    pixels, student, teacher = figures.patch_outputs(model, x, 0.5)
    assert pixels.shape == (2, 1, 16, 16) and student.shape == teacher.shape == (2, 5, 4, 4)
    mask = pixels[:, 0, ::4, ::4].flatten(1)
    assert (pixels.float().mean((1, 2, 3)) - 0.5).abs().max() < 0.2
    networks = ((model, dict(mask=mask), student), (model.teacher.module, {}, teacher))
    with torch.no_grad():
        for net, extra, found in networks:
            tokens = net.backbone.forward_tokens(x, **extra)
            for i in range(2):
                for row in range(4):
                    for column in range(4):
                        one = net.head.vectors(tokens[i, 1 + 4 * row + column][None])[0]
                        torch.testing.assert_close(found[i, :, row, column], one)


@pytest.fixture
def run(tmp_path):
    """Runs the command on a small method and an image."""

    def call(*words, type='IBOT', **kwargs):
        model = dict(type=f'mssl_plugins.{type}', backbone=MASKED, head=HEAD, **kwargs)
        return drawn(figures, tmp_path, model, words)

    return call


def test_from_the_command_line(run):
    assert run('--size', '32').shape[1] == 6 + 5 * 166


@pytest.mark.parametrize(
    'words, settings, message',
    [
        ([], dict(type='DINO'), 'DINO is not iBOT'),
        ([], dict(ratios=[0.0], spread=[0.0]), 'masks nothing'),
        (['--ratio', '0'], {}, 'above 0, at most 1'),
        (['--size', '18'], {}, 'multiple of the patch of 4 px'),
    ],
)
def test_mistakes_are_named(run, words, settings, message):
    with pytest.raises(UserError, match=message):
        run(*words, **settings)
