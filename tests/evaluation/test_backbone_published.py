"""DINOv2 and DINOv3 as timm and transformers save them: every protocol, every figure, fine-tuning.

That their features are the original's is held in ``tests/checkpoints``.
"""

import cv2
import numpy as np
import pytest
import timm
import torch

from helpers.evaluation import write_images
from helpers.hugging_face import PYTHON, run_there
from helpers.tools import tool
from helpers.videos import write_videos
from mssl_plugins.datasets.dense_layouts import write_scenes
from mssl_plugins.evaluation import dense_linear, svm
from mssl_plugins.evaluation.protocols import PROTOCOLS, choose

SMALL = dict(embed_dim=48, depth=3, num_heads=3, num_classes=0)
HF = """
import sys, torch
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel
from transformers import DINOv3ViTConfig, DINOv3ViTModel
sizes = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=3)
torch.manual_seed(0)
for name, net in dict(
    dinov2=Dinov2WithRegistersModel(Dinov2WithRegistersConfig(
        **sizes, mlp_ratio=4, patch_size=14, image_size=56, num_register_tokens=4)),
    dinov3=DINOv3ViTModel(DINOv3ViTConfig(
        **sizes, intermediate_size=192, patch_size=16, image_size=64, num_register_tokens=4)),
).items():
    for p in net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    net.save_pretrained(f'{sys.argv[1]}/{name}')
"""
FORMS = ('timm dinov2', 'timm dinov3', 'transformers dinov2', 'transformers dinov3')


def save_timm(folder, form):
    """Random weights, and a config: of a size that is not published the heads are unknown."""
    version, patch, given = dict(
        dinov2=('patch14_reg4_dinov2', 14, dict(registers=4)),
        dinov3=('patch16_dinov3', 16, dict(registers=4, rope=dict(base=100.0), qkv_bias=False)),
    )[form]
    torch.manual_seed(0)
    net = timm.create_model(f'vit_small_{version}', **SMALL, img_size=4 * patch)
    for p in net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    torch.save(net.state_dict(), folder / f'{form}.pth')
    arch = dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=192)
    given = dict(
        type='mssl_plugins.ViT',
        arch=arch,
        img_size=4 * patch,
        patch_size=patch,
        layer_scale_init_value=1e-5,
        norm_cfg=dict(type='LN', eps=1e-5 if 'rope' in given else 1e-6),
        **given,
    )
    (folder / f'{form}.py').write_text(f'model = {dict(backbone=given)!r}\n')
    return [folder / f'{form}.pth', '--config', folder / f'{form}.py']


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Words of a command line that name each form."""
    folder = tmp_path_factory.mktemp('published')
    found = {f'timm {form}': save_timm(folder, form) for form in ('dinov2', 'dinov3')}
    if PYTHON.exists():
        run_there(HF, folder)
        found.update({f'transformers {f}': [folder / f] for f in ('dinov2', 'dinov3')})
    return found


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Images with one label, with several, with label maps, and videos."""
    folder = tmp_path_factory.mktemp('data')
    for split, each in (('train', 8), ('val', 4)):
        write_images(folder / 'images' / split, 'abc', each, size=64)
    write_scenes(folder / 'seg', 'seg', (6, 3))
    write_scenes(folder / 'voc', 'voc', (16, 8))
    names = told_apart(folder / 'voc')
    assert len(names) > 1
    (folder / 'classes.txt').write_text('\n'.join(names))
    write_videos(folder / 'davis', frames=3)
    return folder


def told_apart(voc):
    """Classes that are in some images of both splits and not in others."""
    found = []
    for split in ('train', 'val'):
        names = (voc / f'ImageSets/Main/{split}.txt').read_text().split()
        texts = [(voc / f'Annotations/{n}.xml').read_text() for n in names]
        kinds = {w.split('<')[0] for t in texts for w in t.split('<name>')[1:]}
        count = {k: sum(f'<name>{k}<' in t for t in texts) for k in kinds}
        found.append({k for k, n in count.items() if 3 <= n <= len(names) - 3})
    return sorted(found[0] & found[1])


@pytest.mark.parametrize('form', FORMS)
def test_every_protocol(weights, data, form, evaluate, monkeypatch):
    if form not in weights:
        pytest.skip('no transformers here: tools/test.sh makes their environment')
    monkeypatch.setattr(svm, 'COSTS', (0.1, 1.0))
    monkeypatch.setattr(svm, 'SHOTS', (1, 2))
    monkeypatch.setattr(dense_linear, 'EPOCHS', 2)
    fast = ('--epochs', 1, '--k', 3, '--finetune-batch', 8)
    images = 'frozen,finetune-100' if form == 'timm dinov3' else 'frozen'
    runs = (
        ('images', images, fast),
        ('seg', 'dense', ('--memory', 60, '--k', 3)),
        ('voc', 'voc07-svm,voc07-low-shot', ('--classes', data / 'classes.txt')),
        ('davis', 'video-segmentation', ('--size', 64)),
    )
    measured = set()
    for folder, names, more in runs:
        status, text, rows = evaluate(
            *weights[form], '--data', data / folder, '--protocols', names, '--device', 'cpu', *more
        )
        assert status == 0, text
        measured |= {r['protocol'] for r in rows}
        assert all(np.isfinite(r['value']) and 0 <= r['value'] <= 100 for r in rows)
    tuned = {n for n in PROTOCOLS if PROTOCOLS[n].kind == 'finetune'}
    assert measured | tuned == set(PROTOCOLS) - {'multilayer'}  # a ResNet's
    assert set(choose(images, 'vit')) <= measured


@pytest.mark.parametrize('form', FORMS)
def test_every_figure_of_patches(weights, data, form, tmp_path):
    if form not in weights:
        pytest.skip('no transformers here: tools/test.sh makes their environment')
    photos, video = data / 'seg/img/train', data / 'davis/JPEGImages/480p/one'
    photo = sorted(photos.iterdir())[0]
    mask = data / 'davis/Annotations/480p/one/00000.png'
    checkpoint, *config = weights[form]
    for figure, words in (
        ('pca', [photos]),
        ('similarity', [photo, '--at', 20, 20, '--others', photos]),
        ('neighbors', [photos, '--k', 2]),
        ('neighbors', [photos, '--queries', photo, '--at', 20, 20, '--k', 2]),
        ('embedding', [photos, '--perplexity', 2]),
        ('propagation', [video, mask, '--size', 64]),
    ):
        out = tmp_path / f'{figure}{len(words)}.{"mp4" if figure == "propagation" else "png"}'
        argv = [figure, checkpoint, *words, *config, '--out', out]
        tool('visualize').main([str(word) for word in argv])
        if out.suffix == '.png':
            assert cv2.imread(str(out)).std() > 5
        else:
            good, frame = cv2.VideoCapture(str(out)).read()
            assert good and frame.std() > 5
