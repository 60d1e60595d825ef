"""Learning-rate multiplier and weight decay of every parameter group, printed and held."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

CONFIGS = Path(__file__).parents[2] / 'configs/benchmarks/classification'


def groups(name, change=lambda cfg: None):
    """name of each parameter -> (multiplier, weight decay), and the config."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope('mmpretrain')
    change(cfg)
    cfg.model.backbone.pop('init_cfg')
    # mmpretrain's ResNet cannot be built on the meta device, and is small
    with torch.device('cpu' if 'resnet' in name else 'meta'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=None))
    wrapper = build_optim_wrapper(model, dict(cfg.optim_wrapper, type='OptimWrapper'))
    names = {id(p): n for n, p in model.named_parameters()}
    found = {}
    for group in wrapper.optimizer.param_groups:
        for p in group['params']:
            if p.requires_grad:
                found[names[id(p)]] = (
                    group['lr'] / cfg.optim_wrapper.optimizer.lr,
                    group['weight_decay'],
                )
    assert set(found) == set(names.values())  # none is left out
    return found, model, cfg


def show(name, found):
    print(f'\n{name}')
    for key, (scale, decay) in found.items():
        print(f'  {scale:.6f}  wd {decay:g}  {key}')


@pytest.mark.parametrize(
    'name, rate',
    [
        ('vit-s16_4xb64-finetune-100-dino-coslr-100e_in1k', 0.65),
        ('vit-s16_8xb64-finetune-1-semivit-coslr-100e_in1k', 0.65),
        ('vit-s16_8xb64-finetune-10-semivit-coslr-100e_in1k', 0.65),
        ('vit-b16_8xb128-finetune-100-mae-coslr-100e_in1k', 0.75),
        ('vit-b16_8xb64-finetune-10-semivit-coslr-100e_in100', 0.65),
        ('vit-s4_1xb1024-finetune-100-asl-coslr-100e_cifar10', 0.75),
    ],
)
def test_vit(name, rate):
    found, model, cfg = groups(name)
    show(name, found)
    blocks = len(model.backbone.layers)
    assert blocks == 12
    for key, (scale, decay) in found.items():
        part = key.split('.')
        if part[1] in ('cls_token', 'pos_embed', 'patch_embed'):
            depth = 0  # what comes before the first block
        elif part[1] == 'layers':
            depth = int(part[2]) + 1
        else:  # the last norm and the classifier
            depth = blocks + 1
        assert scale == pytest.approx(rate ** (blocks + 1 - depth)), key
        matrix = dict(model.named_parameters())[key].ndim > 1
        plain = matrix and part[1] not in ('cls_token', 'pos_embed')
        assert decay == (cfg.weight_decay if plain else 0), key
    assert found['head.fc.weight'] == (1, 0.05)
    assert found['backbone.layers.11.attn.qkv.weight'][0] == pytest.approx(rate)
    assert found['backbone.patch_embed.projection.weight'][0] == pytest.approx(rate**13)


@pytest.mark.parametrize(
    'name, stem, classifier',
    [
        ('resnet50_4xb64-finetune-1-mixmask-steplr-20e_in1k', 0.002, 0.5),
        ('resnet50_4xb64-finetune-10-mixmask-steplr-20e_in1k', 0.002, 0.5),
        ('resnet50_4xb64-finetune-100-mixmask-steplr-20e_in1k', 0.001, 0.05),
    ],
)
def test_resnet_stem_and_classifier(name, stem, classifier):
    """MixMask, supplement Table 3."""
    found, _, _ = groups(name)
    show(name, found)
    for key, (scale, decay) in found.items():
        rate = classifier if key.startswith('head.') else stem
        assert scale * stem == pytest.approx(rate), key
        assert decay == 0


def test_resnet_layer_decay():
    """The same constructor on ResNet-50: mmpretrain's seven depths."""

    def decay(cfg):
        cfg.optim_wrapper.constructor = 'mmpretrain.LearningRateDecayOptimWrapperConstructor'
        cfg.optim_wrapper.paramwise_cfg = dict(layer_decay_rate=0.5)

    found, _, _ = groups('resnet50_4xb64-finetune-100-mixmask-steplr-20e_in1k', decay)
    show('ResNet-50, layer decay 0.5', found)
    for key, (scale, _) in found.items():
        part = key.split('.')
        if part[0] == 'head':
            depth = 7
        elif not part[1].startswith('layer'):
            depth = 0  # the stem
        else:
            block = int(part[2])
            depth = {'layer1': 1, 'layer2': 2 + block // 2, 'layer3': 4 + block // 3, 'layer4': 6}[
                part[1]
            ]
        assert scale == pytest.approx(0.5 ** (7 - depth)), key


def test_cosine_ends_below_where_it_begins():
    """A lowest rate in absolute numbers would raise the rate of the first layers."""
    for path in CONFIGS.glob('*finetune*.py'):
        for schedule in Config.fromfile(path).param_scheduler:
            assert not schedule.get('eta_min'), path
