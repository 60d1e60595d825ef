"""A run on shards is the run on the folder that was packed, killed and resumed or not."""

import pytest
import torch

from helpers.forked import Training
from helpers.runs import losses
from mssl_plugins.pack import FORMATS, pack

CHANGED = """
    train_dataloader['dataset'] = dict(
        type='mssl_plugins.{kind}', data_root={root!r}, labels=False,
        pipeline=train_dataloader['dataset']['pipeline'][1:])
    train_dataloader['num_workers'] = 2
    model['queue_len'] = 100000
    visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


@pytest.fixture(scope='module')
def straight():
    """What the run on the folder came to, made by the first test."""
    return {}


@pytest.mark.parametrize('form', FORMATS)
def test_a_killed_run_on_shards_goes_on_as_on_the_folder(
    tmp_path, tiny_config, image_folder, straight, form
):
    config = tiny_config(CHANGED.format(kind='ImageFolder', root=str(image_folder)))
    if not straight:
        run = Training(tmp_path, config, '--work-dir', tmp_path / 'folder').wait()
        assert run.status == 0, run.text
        straight.update(losses(tmp_path / 'folder'))
        assert len(straight) >= 8
    pack(str(image_folder), str(tmp_path / 'shards'), form, images=9)
    config = tiny_config(CHANGED.format(kind='ImageShards', root=str(tmp_path / 'shards')))
    broken = tmp_path / 'broken'
    run = Training(tmp_path, config, '--work-dir', broken)
    while not list(broken.glob('*.pth')) and run.process.is_alive():
        run.process.join(0.001)
    assert run.kill()
    again = Training(tmp_path, config, '--work-dir', broken, '--resume').wait()
    assert again.status == 0, again.text
    assert losses(broken) == straight
    (last,) = broken.glob('*.pth')
    assert torch.load(last, weights_only=True)['state_dict']
