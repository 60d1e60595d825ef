"""Pre-training on images of other channels than 8-bit RGB, and what comes after it."""

import json

import numpy as np
import pytest
import timm
import torch

from helpers.bands import make_band_folder
from helpers.photos import train_photos
from mssl_plugins import engine  # noqa: F401
from mssl_plugins.api import extract_features
from mssl_plugins.channels import set_channels
from mssl_plugins.checkpoints.reader import read
from mssl_plugins.config import each_dict, read_config
from mssl_plugins.errors import UserError
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.inputs import channels_of
from mssl_plugins.export import export
from mssl_plugins.registry import MODELS

FILES = 24


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Folders of images by channels, bits and suffix; each is written once."""
    known = {}

    def of(channels, bits, suffix):
        key = channels, bits, suffix
        if key not in known:
            folder = tmp_path_factory.mktemp('bands') / 'images'
            known[key] = make_band_folder(folder, *key, number=FILES)
        return known[key]

    return of


@pytest.mark.parametrize(
    'name, channels, bits, suffix, processes',
    [
        ('photos/mae', 13, 16, '.npy', 2),
        ('photos/mocov2', 4, 8, '.png', 1),
        ('photos/mst', 1, 16, '.tif', 1),
    ],
)
def test_a_run(folders, tmp_path, name, channels, bits, suffix, processes):
    """It trains, its statistics are those of its images, it resumes, and features come out."""
    images = folders(channels, bits, suffix)
    given = ['--channels', channels, '--bits', bits]
    done = train_photos(tmp_path, images, name, *given, processes=processes)
    assert done.status == 0, done.text
    run = tmp_path / 'run'
    found = json.loads((run / 'images' / 'channels.json').read_text())
    assert len(found['mean']) == channels and 'standard deviation' in done.text
    read_back = read(run / 'epoch_1.pth')
    assert read_back.mean == found['mean'] and read_back.std == found['std']
    assert FrozenBackbone(str(run / 'epoch_1.pth')).model.data_preprocessor.bits == bits
    if name == 'photos/mae':
        again = train_photos(
            tmp_path, images, name, *given, '--resume', epochs=2, processes=processes
        )
        assert again.status == 0 and (run / 'epoch_2.pth').is_file(), again.text
    else:
        assert 'left out of the views, for they are for 8-bit RGB' in done.text
    model = FrozenBackbone(run / 'epoch_1.pth').model
    features = extract_features(model, str(images), size=64).features.numpy()
    assert len(features) == FILES and np.isfinite(features).all() and np.std(features, 0).max() > 0
    listed = extract_features(model, sorted(images.iterdir())[:3], size=64).features.numpy()
    assert np.allclose(listed, features[:3], atol=1e-5)  # a list of files keeps its channels, too
    export(run / 'epoch_1.pth', 'timm', tmp_path / 'timm')
    peer = timm.create_model(f'local-dir:{tmp_path / "timm"}', pretrained=True).eval()
    x = torch.randn(2, channels, 64, 64)
    own = timm.create_model(f'local-dir:{tmp_path / "timm"}', pretrained=False).eval()
    assert peer(x).shape[0] == 2 and not torch.equal(peer(x), own(x))
    with pytest.raises(
        ValueError, match=f'torchvision has no such network: .* {channels} channels'
    ):
        export(run / 'epoch_1.pth', 'torchvision', tmp_path / 'other')


def test_a_recipe_follows_the_channels():
    cfg = read_config('photos/mst')
    said = set_channels(cfg, 4, 16, [1.0] * 4, [2.0] * 4)
    nodes = list(each_dict(cfg._cfg_dict))
    assert cfg.model.backbone.in_channels == 4
    assert [n['out_channels'] for n in nodes if n.get('type') == 'mssl_plugins.PixelDecoder'] == [4]
    nodes = [node for node in nodes if node.get('type') == 'mssl_plugins.Views']
    views = [view for node in nodes for view in node['views']]
    assert views and not any(
        v['jitter']['hue'] or v.get('gray') or v.get('solarize') for v in views
    )
    assert any(v['jitter']['brightness'] for v in views)
    assert 'saturation, hue' in said[1]
    with pytest.raises(UserError, match='needs a data_preprocessor'):
        cfg.model.data_preprocessor = dict(type='mmpretrain.SelfSupDataPreprocessor')
        set_channels(cfg, 4, 16, [1.0] * 4, [2.0] * 4)


@pytest.mark.parametrize(
    'options, says',
    [
        (['model.backbone.in_channels=5'], 'to have 5 channels, but got 3 channels'),
        (
            ['model.data_preprocessor.mean=[1,2]', 'model.data_preprocessor.std=[1,2]'],
            'images of 3 channels, and mean has 2',
        ),
    ],
)
def test_a_network_of_other_channels_gets_one_line(folders, tmp_path, options, says):
    argv = ['photos/mocov2', '--cfg-options', *options]
    done = train_photos(tmp_path, folders(3, 8, '.png'), *argv)
    assert done.status and says in done.error and done.error.count('\n') == 0
    assert 'Traceback' not in done.text


def test_dark_images_of_16_bits_are_read_as_such(tmp_path):
    """Their mean tells nothing; and an older checkpoint, without the bits, is read by it."""
    cfg = read_config('photos/mocov2')
    set_channels(cfg, 3, 16, [100.0] * 3, [20.0] * 3)
    images = torch.nn.Module()
    images.backbone = torch.nn.Conv2d(3, 4, 3)
    images.data_preprocessor = MODELS.build(cfg.model.data_preprocessor)
    assert channels_of(images) == dict(channels=3, bits=16)
    cfg.model.data_preprocessor.pop('bits')
    images.data_preprocessor = MODELS.build(cfg.model.data_preprocessor)
    assert channels_of(images) == {}
    images.data_preprocessor.mean += 200
    assert channels_of(images) == dict(channels=3, bits=16)


def test_views_of_a_whole_batch_need_rgb():
    cfg = read_config('photos/mocov2')
    cfg.model.data_preprocessor.views = [dict(num=2, size=32)]
    with pytest.raises(UserError, match='views'):
        set_channels(cfg, 4, 16, [1.0] * 4, [2.0] * 4)


@pytest.mark.parametrize(
    'given, says',
    [
        (['--channels', '0'], '--channels, --bits: channels must be a whole number of 1 to 64'),
        (['--bits', '16'], '--bits 16: goes with --channels N'),
        (['--channels', '3'], f'{FILES} of {FILES} files cannot be used'),
    ],
)
def test_wrong_input_gets_one_line(folders, tmp_path, given, says):
    done = train_photos(tmp_path, folders(4, 8, '.png'), 'photos/mocov2', *given)
    assert done.status and says in done.error and done.error.count('\n') == 0
    assert 'Traceback' not in done.text
