"""The figure of ASL's contrast: its weights are the loss's softmax."""

import numpy as np
import pytest
import torch

from helpers import mae
from helpers.figures import drawn
from mssl_plugins.errors import UserError
from mssl_plugins.visualization import contrast as figures


@pytest.mark.parametrize('layer', [None, dict(num_heads=2, drop_rate=0.5)])
def test_the_own_patches_weight_gives_the_loss(layer):
    """L_SEM among the patches of an image is the temperature times -log of the own weight."""
    model = mae.build('ASL', layer=layer, contrast=dict(negatives='image')).eval()
    x = mae.images()
    torch.manual_seed(3)
    found = figures.contrast_of(model, x)
    torch.manual_seed(3)  # the same masks
    loss = model.loss(x)['loss_sem']
    own = found.weights.diagonal(dim1=1, dim2=2).double()
    expected = -own.log().mean() * model.contrast.temperature
    torch.testing.assert_close(loss.detach(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones_like(own).float())


def test_a_prediction_is_framed_where_it_belongs():
    """Two masked patches of four; the weights of the second are shown at both places."""
    images = np.full((1, 4, 4, 3), 200, np.uint8)
    weights = torch.tensor([[[0.4, 0.0], [0.0, 0.4]]])  # the largest of a row is bright
    found = figures.Contrast(torch.tensor([[0, 3]]), weights)
    sheet = figures.figure(images, (2, 2), found, patches=2, tile=40)
    tile, gap, head = 40, 6, 22
    top = head + gap
    first, second = (
        sheet[top : top + tile, gap + i * (tile + gap) : gap + i * (tile + gap) + tile].astype(int)
        for i in (2, 3)
    )
    bright, dark = first[10, 10].sum(), first[30, 30].sum()
    assert bright > 400 > 100 > dark
    assert (second[30, 30].sum(), second[10, 10].sum()) == (bright, dark)
    assert (first[0, 10] == figures_mark()).all() and (second[39, 30] == figures_mark()).all()


def figures_mark():
    from mssl_plugins.visualization.similarity import MARK

    return np.array(MARK)


@pytest.fixture
def run(tmp_path):
    """Runs the command on a small method and an image."""

    def call(*words, method='ASL'):
        return drawn(figures, tmp_path, mae.config(method), words)

    return call


def test_from_the_command_line(run):
    assert run('--patches', '2').shape[1] == 6 + 4 * 166
    with pytest.raises(UserError, match='must be 1 or more'):
        run('--patches', '0')


def test_another_method_is_refused(run):
    with pytest.raises(UserError, match='MAE is not ASL'):
        run(method='MAE')
