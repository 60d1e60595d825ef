"""DINOv2's weights in timm's, Hugging Face's and its own form; what is refused, and how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from mmengine.registry import init_default_scope

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
folder = sys.argv[1]
torch.manual_seed(0)
config = Dinov2Config(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, mlp_ratio=3,
                      image_size=56, patch_size=14)
net = Dinov2Model(config).eval()
for p in net.parameters():
    p.data += 0.1 * torch.randn_like(p)
net.save_pretrained(folder + '/body')
whole = Dinov2ForImageClassification(config)
whole.dinov2.load_state_dict(net.state_dict())
whole.save_pretrained(folder + '/classifier')
cases = []
for size in ((56, 56), (84, 56), (28, 70)):
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        cases.append((x, net(x).last_hidden_state))
torch.save(cases, folder + '/cases.pt')
"""


def test_hugging_faces_dinov2(tmp_path):
    """In a process of its own: transformers 5 does not go with mmpretrain."""
    python = Path(sys.prefix) / 'hf/bin/python'
    if not python.exists():
        pytest.skip(f'no {python}: tools/test.sh makes this environment for transformers')
    done = subprocess.run(
        [str(python), '-c', HF, str(tmp_path)],
        text=True,
        capture_output=True,
        env={**os.environ, 'PYTHONPATH': ''},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    init_default_scope('mmpretrain')
    for name in ('body', 'classifier'):
        backbone = FrozenBackbone(str(tmp_path / name)).model.backbone
        backbone.eval()
        for x, wanted in torch.load(tmp_path / 'cases.pt', weights_only=True):
            with torch.no_grad():
                found = read_layers(backbone, x, ['cls', 'patches'])
            close(found['cls'], wanted[:, 0])
            close(found['patches'].view(*wanted[:, 1:].shape), wanted[:, 1:])


@pytest.mark.parametrize(
    'name, words',
    [
        ('vit_small_patch14_reg4_dinov2', r'register tokens \(reg_token\).*without registers'),
        ('vit_small_patch16_dinov3', r'register tokens .* and rotary position .*DINOv2 instead'),
    ],
)
def test_newer_parts_are_named(name, words, tmp_path):
    with torch.device('cpu'):
        net = timm.create_model(name, img_size=32 if 'v3' in name else 28, num_classes=0)
    torch.save(net.state_dict(), tmp_path / 'newer.pth')
    with pytest.raises(ValueError, match=words):
        read(tmp_path / 'newer.pth')


@pytest.mark.parametrize(
    'key, words',
    [
        ('blocks.0.mlp.w12.weight', 'SwiGLU MLP .*small, base or large'),
        ('encoder.layer.0.mlp.weights_in.weight', 'SwiGLU'),
        ('embeddings.register_tokens', 'register tokens'),
        ('model.layer.0.attention.q_proj.weight', 'RoPE'),
    ],
)
def test_other_forms_are_named_too(small, tmp_path, key, words):
    state = dict(small[0].state_dict())
    state[key] = torch.ones(4)
    torch.save(state, tmp_path / 'newer.pth')
    with pytest.raises(ValueError, match=words):
        read(tmp_path / 'newer.pth')
