"""The same image files give the same features here and in the library exported to."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mssl_plugins.datasets.folder import ImageFolder
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.export import export
from mssl_plugins.export.package import LOCAL_PATH

timm = pytest.importorskip('timm')


def photo(rng, height, width):
    """Smooth colors, edges and some noise."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    img = np.asarray(coarse.resize((width, height), Image.BICUBIC)).astype(int)
    img[height // 3 :, width // 2 :] = 255 - img[height // 3 :, width // 2 :]
    return Image.fromarray((img + rng.integers(-12, 13, img.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp('photos')
    for split in ('train', 'val'):
        for label in 'ab':
            (root / split / label).mkdir(parents=True)
            for i, size in enumerate(((301, 400), (260, 223), (140, 500))):
                photo(rng, *size).save(
                    root / split / label / f'{i}.{("jpg", "png")[i % 2]}', quality=90
                )
    return root


def checkpoint(path, size):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    backbone = {
        'type': 'mssl_plugins.ViT',
        'img_size': size,
        'patch_size': 16,
        'arch': {'embed_dims': 24, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 48},
    }
    net = MODELS.build(dict(backbone))
    net.init_weights()
    statistics = {'mean': [120.0, 110.0, 100.0], 'std': [60.0, 61.0, 62.0]}
    text = (
        f'model = {dict(type="mssl_plugins.SimCLR", backbone=backbone)}\n'
        f'data_preprocessor = {statistics}\n'
        "data_root = '/home/someone/secret/photos'\nload_from = '~/runs/epoch_1.pth'\n"
    )
    torch.save(
        {
            'state_dict': {f'backbone.{k}': v for k, v in net.state_dict().items()},
            'meta': {'cfg': text},
        },
        path,
    )


@pytest.mark.parametrize('size', [96, 160, 224])
def test_timm_gives_our_features_from_the_same_files(tmp_path, folder, size):
    checkpoint(tmp_path / 'a.pth', size)
    found = FrozenBackbone(str(tmp_path / 'a.pth'))
    data = EvaluationData(str(folder), tmp_path, native=found.native)
    ours, _ = extract_features(found.model, data.center('test'))
    export(tmp_path / 'a.pth', 'timm', tmp_path / 'out')
    net = timm.create_model(f'local-dir:{tmp_path}/out', pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    files = [i['img_path'] for i in ImageFolder(str(folder), 'val', pipeline=[])]
    assert len(files) == 6
    x = torch.stack([transform(Image.open(f).convert('RGB')) for f in files])
    with torch.no_grad():
        theirs = net(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_an_export_holds_no_local_paths(tmp_path):
    checkpoint(tmp_path / 'a.pth', 32)
    export(tmp_path / 'a.pth', 'timm', tmp_path / 'out')
    text = (tmp_path / 'out/mssl_export.json').read_text()
    assert '/home' not in text and '~' not in text and str(tmp_path) not in text
    config = json.loads(text)['source']['config']
    assert "data_root = 'photos'" in config and "load_from = 'epoch_1.pth'" in config


@pytest.mark.parametrize(
    'given, kept',
    [
        ("'/home/me/a b/photos/'", "'photos'"),
        ('"/home/o\'brien/photos"', '"photos"'),
        ('\'/home/me/say "x"/photos\'', "'photos'"),
        ("'~me/photos'", "'photos'"),
        ("'C:\\\\Users\\\\me\\\\photos'", "'photos'"),
        ("'file:///home/me/photos'", "'photos'"),
        ("'data/photos'", "'data/photos'"),
        ("['a/b', '/c/d', 'e']", "['a/b', 'd', 'e']"),
    ],
)
def test_a_path_keeps_its_name(given, kept):
    assert LOCAL_PATH.sub(r'\1\2\1', f'x = {given}\ny = 1') == f'x = {kept}\ny = 1'
