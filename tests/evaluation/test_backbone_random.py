"""'random' is random: no file that a config names is read for it."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mssl_plugins.config import without_pretrained
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.inputs import build_model
from mssl_plugins.visualization.attention import load

VIT = """
model = dict(
    type='mssl_plugins.MoCo', queue_len=24, feat_dim=8, momentum=0.9,
    backbone=dict(
        type='mssl_plugins.ViT', img_size=32, patch_size=16,
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
        init_cfg={init}),
    neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=16, hid_channels=8,
              out_channels=8, with_avg_pool=False),
    head=dict(type='mmpretrain.ContrastiveHead', temperature=0.2,
              loss=dict(type='mmpretrain.CrossEntropyLoss')))
"""


class Evil:
    """Pickles into a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f'touch {self.mark}',)


def frozen(config: Path) -> torch.nn.Module:
    return FrozenBackbone('random', config=str(config)).model.backbone


def built(config: Path) -> torch.nn.Module:
    return build_model(Config.fromfile(config), 'random')[0].backbone


def shown(config: Path) -> torch.nn.Module:
    return load(str(config), 'random').backbone


@pytest.mark.parametrize('make', [frozen, built, shown])
@pytest.mark.parametrize('as_list', [False, True])
def test_random_reads_no_weights(tmp_path, make, as_list):
    mark, stranger = tmp_path / 'mark', tmp_path / 'stranger.pth'
    init = dict(type='Pretrained', checkpoint=str(stranger), prefix='backbone.')
    named, plain = tmp_path / 'named.py', tmp_path / 'plain.py'
    named.write_text(VIT.format(init=[init] if as_list else init))
    plain.write_text(VIT.format(init=[] if as_list else None))
    wanted = make(plain).state_dict()
    zeros = {f'backbone.{k}': torch.zeros_like(v) for k, v in wanted.items()}
    torch.save(dict(state_dict=zeros, extra=Evil(mark)), stranger)
    found = make(named).state_dict()
    assert not mark.exists()
    assert all(torch.equal(found[k], v) for k, v in wanted.items())


def test_what_is_measured_of_random_weights_is_kept_by_their_values(tmp_path):
    keys = []
    for number, scale in enumerate((1e-5, 1e-1, 1e-5)):
        config = tmp_path / f'{number}.py'
        config.write_text(VIT.format(init=f'None, layer_scale_init_value={scale}'))
        keys.append(FrozenBackbone('random', config=str(config)).key)
    assert keys[0] == keys[2] != keys[1]
    assert FrozenBackbone('random', config=str(config), seed=1).key != keys[2]


def test_what_reads_weights_is_taken_out_at_any_depth():
    xavier = dict(type='Xavier', layer='Linear')
    load = dict(type='mmengine.Pretrained', checkpoint='a.pth')
    model = dict(
        pretrained='b.pth',
        init_cfg=[xavier, load],
        part=dict(pretrained=True, inner=[dict(init_cfg=load), dict(init_cfg=xavier)]),
    )
    assert without_pretrained(model) == dict(
        pretrained=None,
        init_cfg=[xavier],
        part=dict(pretrained=True, inner=[dict(init_cfg=None), dict(init_cfg=xavier)]),
    )
    assert model['pretrained'] == 'b.pth' and model['init_cfg'] == [xavier, load]
