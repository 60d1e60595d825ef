"""DINOv2's weights in timm's, Hugging Face's and its own form; DINOv3's in Hugging Face's."""

import json
import shutil

import pytest
import timm
import torch
from mmengine.registry import init_default_scope

from helpers.hugging_face import ABSENT, PYTHON, run_there
from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.checkpoints.reader import read
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.models.backbones import ViT
from mssl_plugins.models.readout import read_layers


def shaken(net, seed=0):
    """Every parameter off its default: scales, biases, class token."""
    torch.manual_seed(seed)
    for name, p in net.named_parameters():
        p.data += (0.3 if 'gamma' in name else 0.05) * torch.randn_like(p)
    return net.eval()


def close(found, wanted):
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() / wanted.abs().max() < 1e-5


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """Timm's ViT-S/14 of DINOv2, for 112 px, and its file."""
    net = shaken(timm.create_model('vit_small_patch14_dinov2', img_size=112, num_classes=0))
    path = tmp_path_factory.mktemp('dinov2') / 'timm.pth'
    torch.save(net.state_dict(), path)
    return net, path


def test_timms_dinov2(small):
    net, path = small
    init_default_scope('mmpretrain')
    found = FrozenBackbone(str(path))
    found.model.eval()
    assert found.config['layer_scale_init_value'] and found.native == 112
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        wanted = net.forward_features(x)
        kinds = read_layers(found.model.backbone, x, ['cls', 'patches'])
    close(kinds['cls'], wanted[:, 0])
    close(kinds['patches'].view(2, 64, 384), wanted[:, 1:])


def test_at_other_sizes(small):
    """Position embeddings as timm interpolates them, by our ViT's default."""
    net, path = small
    ours = ViT('deit-small', img_size=112, patch_size=14, layer_scale_init_value=1e-5)
    load_backbone(ours, path)
    ours.eval()
    for size in (154, 70):
        other = timm.create_model('vit_small_patch14_dinov2', img_size=size, num_classes=0).eval()
        state = dict(net.state_dict())
        state['pos_embed'] = timm.layers.resample_abs_pos_embed(
            state['pos_embed'], (size // 14, size // 14)
        )
        other.load_state_dict(state)
        x = torch.randn(1, 3, size, size)
        with torch.no_grad():
            close(ours.forward_tokens(x), other.forward_features(x))


def test_its_own_form_is_timms(small, tmp_path):
    """The released files have a mask token beside; a training checkpoint stands in `teacher`."""
    net, path = small
    state = dict(net.state_dict(), mask_token=torch.zeros(1, 384))
    torch.save(state, tmp_path / 'own.pth')
    first, own = read(path), read(tmp_path / 'own.pth')
    assert own.config == first.config
    assert all(torch.equal(own.weights[k], v) for k, v in first.weights.items())


HF = """
import sys, torch
from transformers import Dinov2Config, Dinov2ForImageClassification, Dinov2Model
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification
from transformers import Dinov2WithRegistersModel, DINOv3ViTConfig, DINOv3ViTModel
folder = sys.argv[1]
torch.manual_seed(0)

def save(name, net, whole=None, part=None):
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    net.eval().save_pretrained(f'{folder}/{name}')
    if whole is not None:
        getattr(whole, part).load_state_dict(net.state_dict())
        whole.save_pretrained(f'{folder}/{name}-classifier')
    cases, patch = [], net.config.patch_size
    for rows, columns in ((4, 4), (6, 4), (2, 5)):
        x = torch.randn(2, 3, patch * rows, patch * columns)
        with torch.no_grad():
            cases.append((x, net(x).last_hidden_state))
    torch.save(cases, f'{folder}/{name}.pt')

sizes = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, image_size=56)
for gated in (False, True):
    args = dict(sizes, mlp_ratio=3, patch_size=14, use_swiglu_ffn=gated)
    config = Dinov2Config(**args)
    save(f'dinov2-{gated}', Dinov2Model(config), Dinov2ForImageClassification(config), 'dinov2')
    config = Dinov2WithRegistersConfig(**args, num_register_tokens=3)
    save(f'registers-{gated}', Dinov2WithRegistersModel(config),
         Dinov2WithRegistersForImageClassification(config), 'dinov2_with_registers')
    config = DINOv3ViTConfig(**dict(sizes, image_size=64), intermediate_size=88, patch_size=16,
                             use_gated_mlp=gated, hidden_act='silu' if gated else 'gelu',
                             num_register_tokens=4, rope_theta=80.0, key_bias=gated)
    save(f'dinov3-{gated}', DINOv3ViTModel(config))
"""


@pytest.fixture(scope='module')
def hugging_face(tmp_path_factory):
    """Made in a process of its own: transformers 5 does not go with mmpretrain."""
    if not PYTHON.exists():
        pytest.skip(ABSENT)
    folder = tmp_path_factory.mktemp('hf')
    run_there(HF, folder)
    return folder


@pytest.mark.parametrize('gated', [False, True], ids=['mlp', 'swiglu'])
@pytest.mark.parametrize(
    'name',
    ['dinov2', 'dinov2-classifier', 'registers', 'registers-classifier', 'dinov3'],
)
@torch.no_grad()
def test_hugging_faces_forms(hugging_face, name, gated):
    """Features at the weights' own and at other sizes."""
    kind, *rest = name.split('-')
    init_default_scope('mmpretrain')
    folder = hugging_face / '-'.join([kind, str(gated), *rest])
    backbone = FrozenBackbone(str(folder)).model.backbone
    backbone.eval()
    registers = dict(dinov2=0, registers=3, dinov3=4)[kind]
    for x, wanted in torch.load(hugging_face / f'{kind}-{gated}.pt', weights_only=True):
        if kind == 'dinov2' and gated and x.shape[2:] != (56, 56):
            backbone.antialias = False  # as its class, ours smooths by default
        found = read_layers(backbone, x, ['cls', 'patches'])
        close(found['cls'], wanted[:, 0])
        patches = wanted[:, 1 + registers :]
        close(found['patches'].view(*patches.shape), patches)


def test_a_gated_mlp_of_another_activation_is_refused(hugging_face, tmp_path):
    folder = shutil.copytree(hugging_face / 'dinov3-True', tmp_path / 'gelu')
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps(dict(config, hidden_act='gelu')))
    with pytest.raises(ValueError, match='gated MLP has the activation gelu, only silu'):
        read(folder)
