"""Layer decay of ViTDet's backbone."""

import pytest
from torch import nn

pytest.importorskip('mmdet', reason='needs mmdet: the extra [dense]')
pytest.importorskip('mmseg', reason='needs mmseg: the extra [dense]')
pytest.importorskip('mmcv._ext', reason='needs mmcv with compiled ops: tools/test.sh')
from helpers.dense import vitdet
from mssl_plugins.engine.layer_decay import LayerDecayConstructor


def test_layer_decay():
    model = nn.ModuleDict(dict(backbone=vitdet(), head=nn.Linear(16, 4)))
    wrapper = LayerDecayConstructor(
        dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1)),
        dict(
            layer_decay_rate=0.5,
            norm_decay_mult=0.0,
            flat_decay_mult=0.0,
            custom_keys={k: dict(decay_mult=0.0) for k in ('pos_embed', 'rel_pos')},
        ),
    )(model)
    groups = {id(g['params'][0]): g for g in wrapper.optimizer.param_groups}
    for name, parameter in model.named_parameters():
        group = groups[id(parameter)]
        if name.startswith('backbone.layers.'):
            depth = int(name.split('.')[2]) + 1
        else:
            depth = 4 if name.startswith('head.') else 0
        assert group['lr'] == 0.5 ** (4 - depth), name
        free = parameter.ndim == 1 or 'pos_embed' in name or 'rel_pos' in name
        assert group['weight_decay'] == (0 if free else 0.1), name
    with pytest.raises(TypeError, match='get_layer_depth'):
        LayerDecayConstructor(dict(optimizer=dict(type='SGD', lr=1.0)), dict(layer_decay_rate=0.5))(
            nn.ModuleDict(dict(head=nn.Linear(1, 1)))
        )
