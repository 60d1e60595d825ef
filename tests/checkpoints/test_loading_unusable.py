"""Weights with which nothing can be computed are refused with the file's name."""

import pytest
import torch
from mmengine.config import Config

from mssl_plugins.checkpoints.loading import check_numbers, load_backbone
from mssl_plugins.checkpoints.reader import read
from mssl_plugins.export import export
from mssl_plugins.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
VIT = dict(type='mssl_plugins.ViT', img_size=32, patch_size=8, arch=ARCH)


@pytest.fixture
def save(tmp_path):
    """Writes a checkpoint with changed weights or another config."""
    net = MODELS.build(VIT)

    def write(key=None, change=None, backbone=VIT):
        state = {f'backbone.{k}': v.clone() for k, v in net.state_dict().items()}
        if key:
            state[f'backbone.{key}'] = change(state[f'backbone.{key}'])
        cfg = Config(dict(model=dict(type='mssl_plugins.SimCLR', backbone=backbone)))
        torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=state), tmp_path / 'x.pth')
        return tmp_path / 'x.pth'

    return write


def with_nan(value):
    value.view(-1)[-1] = torch.nan
    return value


@pytest.mark.parametrize(
    'key, change, said',
    [
        ('layers.1.attn.qkv.weight', with_nan, 'hold NaN or infinity: layers.1.attn.qkv.weight'),
        ('pos_embed', lambda v: v / 0, 'hold NaN or infinity: pos_embed'),
        ('patch_embed.projection.weight', lambda v: v[..., :0], 'are of size 0: patch_embed'),
        ('cls_token', lambda v: v[:, :0], 'are of size 0: cls_token'),
        ('ln1.bias', lambda v: v.to_sparse(), 'are no plain numbers: ln1.bias'),
    ],
)
def test_they_are_refused_by_all_readers(save, tmp_path, key, change, said):
    path = save(key, change)
    readers = (
        lambda: read(path),
        lambda: export(path, 'timm', tmp_path / 'out'),
        lambda: load_backbone(MODELS.build(VIT), path),
    )
    for reader in readers:
        with pytest.raises(ValueError, match=f'{path}: 1 of 30 tensors {said}'):
            reader()
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'change',
    [
        dict(arch=dict(ARCH, num_heads=0)),
        dict(arch=dict(ARCH, num_heads='many')),
        dict(arch=dict(embed_dims=24)),
        dict(arch=[24]),
        dict(img_size='x'),
        dict(norm_cfg='LN'),
    ],
)
def test_a_config_that_is_no_such_network_is_one_line(save, change):
    with pytest.raises(ValueError, match="backbone's config|backbone:") as error:
        read(save(backbone=dict(VIT, **change)))
    assert '\n' not in str(error.value)


def test_usable_weights_pass(save):
    assert len(read(save()).weights) == 30
    check_numbers({'a': torch.ones(2), 'n': torch.tensor(3), 'h': torch.ones(1).half()}, 'x')
