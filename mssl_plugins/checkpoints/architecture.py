"""The architecture of a backbone, read from its weights and its config.

The shapes of the weights tell the sizes.  They do not tell the number of heads,
where a ResNet strides, or the epsilon of the norms: these come from the config.
The two together must build a network with exactly these weights.
"""

import ast
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from mssl_plugins.checkpoints.compare import compare, without_counters
from mssl_plugins.errors import unknown
from mssl_plugins.mmpretrain_models import models
from mssl_plugins.registry import MODELS

VITS = ('ViT', 'VisionTransformer', 'MAEViT')
# Where strides may differ is said by the config only.
RESNETS = ('ResNet', 'ResNetV1c', 'ResNetV1d', 'ResNet_CIFAR', 'SmallImageResNet')
# Arguments that are read from the weights or do not bear on the features.
KNOWN = dict(
    vit='arch img_size patch_size in_channels out_indices drop_rate drop_path_rate qkv_bias '
    'norm_cfg final_norm out_type with_cls_token frozen_stages interpolate_mode '
    'layer_scale_init_value pre_norm mask_token mask_bias antialias '
    'interpolate_offset weight_init mask_ratio registers rope layer_cfgs init_cfg type',
    resnet='depth in_channels stem_channels base_channels num_stages strides dilations '
    'out_indices style deep_stem avg_down frozen_stages norm_cfg norm_eval with_cp '
    'zero_init_residual drop_path_rate pool stem_stride init_cfg type',
)
# Heads of DINOv2's and DINOv3's networks by width and depth (SwiGLU or rotary positions).
NEWER_HEADS = {
    (384, 12): 6,
    (768, 12): 12,
    (1024, 24): 16,
    (1280, 32): 20,
    (1536, 40): 24,
    (4096, 40): 32,
}
BROKEN = (TypeError, LookupError, AttributeError, ArithmeticError)
DEPTHS = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}


def model_in(text: str, names: Sequence[str] = ('model', 'data_preprocessor')) -> Dict[str, Any]:
    """Assignments of a config's text, by default those that make its model.

    The text is not run: only literals and ``dict(...)`` are evaluated.

    Args:
        text (str): A config as MMEngine writes it into checkpoints.
        names (Sequence[str]): Which. Defaults to the model and its preprocessor.

    Returns:
        Dict[str, Any]: Those that are there.

    Raises:
        ValueError: If the text is not Python, or an assignment holds more than
            literals.
    """

    def value(node):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, 'id', None) == 'dict'
            and not node.args
            and all(k.arg for k in node.keywords)
        ):
            return {k.arg: value(k.value) for k in node.keywords}
        if isinstance(node, ast.Dict) and None not in node.keys:
            return {ast.literal_eval(k): value(v) for k, v in zip(node.keys, node.values)}
        if isinstance(node, (ast.List, ast.Tuple)):
            return [value(item) for item in node.elts]
        return ast.literal_eval(node)

    try:
        return {
            node.targets[0].id: value(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) in names
        }
    except (SyntaxError, ValueError, TypeError) as error:
        raise ValueError(
            f"the checkpoint's own config cannot be read: name one with --config ({error})"
        ) from None


def parts_in(text: Optional[str], names: Sequence[str]) -> Dict[str, Any]:
    """Those of the named assignments of a config's text that hold nothing but literals.

    Args:
        text (str, optional): A config as MMEngine writes it into checkpoints.
        names (Sequence[str]): Which.

    Returns:
        Dict[str, Any]: Those that could be read; the text is not run.
    """
    found = {}
    for name in names:
        with suppress(ValueError):
            found.update(model_in(text or '', (name,)))
    return found


def read_hf_config(path: Path) -> Optional[dict]:
    """The backbone's arguments, from Hugging Face's ``config.json`` in the same folder.

    Args:
        path (Path): The file of weights.

    Returns:
        dict, optional: Arguments under MMPretrain's names; None if there is no config.

    Raises:
        ValueError: If it describes a network that no ViT here can be.
    """
    try:
        config = json.loads((path.parent / 'config.json').read_text())
    except (OSError, ValueError):
        return None
    kind = config.get('model_type')
    if kind in ('vit', 'dinov2', 'dinov2_with_registers', 'dinov3_vit'):
        default = 1e-5 if kind == 'dinov3_vit' else 1e-12
        known = dict(
            type='ViT',
            arch=dict(num_heads=config['num_attention_heads']),
            img_size=config.get('image_size', 224),
            norm_cfg=dict(eps=config.get('layer_norm_eps', default)),
            registers=config.get('num_register_tokens', 0),
        )
        if kind == 'dinov3_vit':
            if config.get('use_gated_mlp') and config.get('hidden_act', 'gelu') != 'silu':
                raise ValueError(
                    f'{path.parent / "config.json"}: its gated MLP has the activation '
                    f'{config.get("hidden_act", "gelu")}, only silu (SwiGLU) is read'
                )
            known['rope'] = dict(base=config.get('rope_theta', 100.0))
        return known
    if config.get('model_type') == 'resnet':
        caffe = config.get('downsample_in_bottleneck', False)
        return dict(type='ResNet', style='caffe' if caffe else 'pytorch')
    return None


def describe(family: str, weights: Mapping[str, Tensor], given: Optional[dict] = None) -> dict:
    """The config that builds a backbone of these weights.

    Args:
        family (str): 'vit' or 'resnet'.
        weights (Mapping[str, Tensor]): Under MMPretrain's names.
        given (dict, optional): What is known of the backbone's config.
            Defaults to None: heads of the standard archs, ResNets as
            torchvision's.

    Returns:
        dict: With ``type``; arguments of MMPretrain's class or, where it has
        none such (registers, rotary positions, SwiGLU), ours. Only what bears
        on the features: no drop path, no frozen stages.

    Raises:
        ValueError: If config and weights contradict each other, weights are
            missing, or a needed value is neither in the weights nor given.
    """
    given = dict(given or {})
    kind = str(given.get('type', '')).split('.')[-1]
    allowed = VITS if family == 'vit' else RESNETS
    if kind and kind not in allowed:
        raise ValueError(
            f"the config's backbone is a {given['type']}, the weights are a "
            f"{'ViT' if family == 'vit' else 'ResNet'}'s ({', '.join(allowed)})"
        )
    strange = [k for k, v in given.items() if v and k not in KNOWN[family].split()]
    if strange:
        raise ValueError(
            f"cannot tell what {', '.join(strange)} of the backbone's config mean "
            'for other libraries'
        )
    try:
        config = (_vit if family == 'vit' else _resnet)(weights, given, kind)
    except BROKEN as error:  # of a config that is no such network's, or cut weights
        raise ValueError(
            f"the backbone's config {_short(given)} is none of these weights' ({error!r})"
        ) from None
    # mmpretrain's ResNet cannot be built on the meta device, and is small.
    with torch.device('meta' if family == 'vit' else 'cpu'):
        try:
            own = MODELS.build(dict(config)).state_dict()
        except (AssertionError, RuntimeError, ValueError, *BROKEN) as error:
            raise ValueError(f'no such backbone: {config} ({error})') from None
    report = compare(own, weights)
    missing = [k for k in without_counters(report.missing) if k != 'rope.periods']  # computed
    wrong = report._replace(missing=missing).differences()
    if wrong:
        raise ValueError(
            'the weights are not those of '
            f'{config["type"].split(".")[-1]}({_short(config)}): {"; ".join(wrong)}'
        )
    return config


def _short(config: dict) -> str:
    return ', '.join(f'{k}={v}' for k, v in config.items() if k != 'type')


def _pair(size) -> Tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def rope_base(periods: Tensor) -> float:
    """The base of rotary periods 1 ... base^((n - 1) / n), which files may keep in bfloat16."""
    n = len(periods)
    base = float(periods[-1].double()) ** (n / (n - 1)) if n > 1 else 100.0
    return 100.0 if abs(base - 100) < 2 else base


def with_periods(weights: Mapping[str, Tensor], config: dict) -> Dict[str, Tensor]:
    """The weights with the rotary periods of their config, where files leave them out."""
    rope, weights = config.get('rope'), dict(weights)
    if rope and 'rope.periods' not in weights:
        n = config['arch']['embed_dims'] // config['arch']['num_heads'] // 4
        weights['rope.periods'] = rope['base'] ** (torch.arange(n) / n)
    return weights


def _arch(weights: Mapping[str, Tensor], given: dict, kind: str, swiglu: bool) -> dict:
    """Width, depth and MLP from the weights, heads from what is given or usual."""
    zoo = models.VisionTransformer.arch_zoo
    first = weights.get('layers.0.ffn.w3.weight' if swiglu else 'layers.0.ffn.layers.0.0.weight')
    arch = dict(
        embed_dims=weights['patch_embed.projection.weight'].shape[0],
        num_layers=1 + max(int(k.split('.')[1]) for k in weights if k.startswith('layers.')),
        feedforward_channels=0 if first is None else first.shape[1 if swiglu else 0],
    )
    named = given.get('arch', 'base' if kind else None)
    if isinstance(named, str):
        if named.lower() not in zoo:
            raise unknown(named, zoo, 'ViT arch')
        named = zoo[named.lower()]
    periods = weights.get('rope.periods')
    if named is None and periods is not None:
        named = dict(num_heads=arch['embed_dims'] // (4 * len(periods)))
    if named is None and (swiglu or 'pos_embed' not in weights):
        heads = NEWER_HEADS.get((arch['embed_dims'], arch['num_layers']))
        named = None if heads is None else dict(num_heads=heads)
    elif named is None:
        named = next((a for a in zoo.values() if all(a[k] == v for k, v in arch.items())), None)
    if named is None:
        raise ValueError(
            f'a ViT of {arch} has no standard number of heads: name its config with --config'
        )
    wrong = [f'{k} {named[k]} instead of {v}' for k, v in arch.items() if named.get(k, v) != v]
    if wrong:
        raise ValueError(f"the config's ViT is another one than the weights': {', '.join(wrong)}")
    arch['num_heads'] = named['num_heads']
    if arch['embed_dims'] % arch['num_heads']:
        raise ValueError(f'{arch["num_heads"]} heads do not divide {arch["embed_dims"]} channels')
    return arch


def _image_size(weights: Mapping[str, Tensor], given: dict, kind: str, patch: tuple) -> tuple:
    """Height and width that the network was made for."""
    size = given.get('img_size', 224 if kind else None)
    if 'pos_embed' not in weights:
        return _pair(size or 224)
    tokens = weights['pos_embed'].shape[1] - ('cls_token' in weights)
    if size is None or math.prod(s // p for s, p in zip(_pair(size), patch)) != tokens:
        side = math.isqrt(max(tokens, 0))
        if side * side != tokens:
            raise ValueError(
                f'{tokens} position embeddings of patches are no square: name the '
                'config, with img_size, with --config'
            )
        size = tuple(side * p for p in patch)
    return _pair(size)


def _newer_parts(weights: Mapping[str, Tensor], given: dict, kind: str, swiglu: bool) -> dict:
    """Registers, rotary positions and SwiGLU MLPs: of our ViT only."""
    registers = weights['register_tokens'].shape[1] if 'register_tokens' in weights else 0
    periods, asked, rope = weights.get('rope.periods'), given.get('rope'), None
    if 'pos_embed' not in weights:
        if periods is None and asked is None and (kind or not registers):
            raise ValueError(
                'the weights lack the position embeddings, and the config has no rope=dict()'
            )
        usual = 100.0 if periods is None else rope_base(periods)
        rope = dict(base=(asked or {}).get('base', usual))
    if kind == 'ViT' and (
        given.get('registers', 0) != registers or asked is not None and rope is None
    ):
        raise ValueError(
            f"the config's ViT has {given.get('registers', 0)} registers and rope={asked}, "
            f'the weights {registers} registers and {"no " if rope else ""}position embeddings'
        )
    found = dict(registers=registers, rope=rope)
    if swiglu:
        found['layer_cfgs'] = dict(ffn_type='swiglu')
    return {k: v for k, v in found.items() if v}


def _vit(weights: Mapping[str, Tensor], given: dict, kind: str) -> dict:
    if 'patch_embed.projection.weight' not in weights:
        raise ValueError('the weights lack the patch embedding')
    ffn = given.get('layer_cfgs') or {}
    if not isinstance(ffn, dict) or set(ffn) - {'ffn_type'}:
        raise ValueError('cannot tell what layer_cfgs of the backbone mean for other libraries')
    swiglu = 'layers.0.ffn.w12.weight' in weights
    newer = _newer_parts(weights, given, kind, swiglu)
    if ffn.get('ffn_type') == 'swiglu_fused' and isinstance(given.get('arch'), dict):
        given = dict(given, arch=dict(num_heads=given['arch']['num_heads']))  # 2/3 of its width
    arch = _arch(weights, given, kind, swiglu)
    patch = _pair(tuple(weights['patch_embed.projection.weight'].shape[2:]))
    with_cls = 'cls_token' in weights
    size = _image_size(weights, given, kind, patch)
    config = dict(
        type='mssl_plugins.ViT' if newer else 'mmpretrain.VisionTransformer',
        arch=arch,
        img_size=size[0] if size[0] == size[1] else list(size),
        patch_size=patch[0] if patch[0] == patch[1] else list(patch),
        **newer,
    )
    if newer:
        how = ('antialias', 'interpolate_offset')
        config.update({k: given[k] for k in how if k in given})
    usual = 1e-5 if given.get('norm_cfg') or 'rope' in newer and not kind else 1e-6
    eps = (given.get('norm_cfg') or {}).get('eps', usual)
    optional = dict(
        in_channels=(weights['patch_embed.projection.weight'].shape[1], 3),
        with_cls_token=(with_cls, True),
        qkv_bias=('layers.0.attn.qkv.bias' in weights, True),
        final_norm=(given.get('final_norm', True) if kind else 'ln1.weight' in weights, True),
        pre_norm=('pre_norm.weight' in weights, False),
        norm_cfg=(dict(type='LN', eps=eps), dict(type='LN', eps=1e-6)),
    )
    config.update({k: v for k, (v, default) in optional.items() if v != default})
    if 'layers.0.attn.gamma1.weight' in weights:
        config['layer_scale_init_value'] = 1e-5  # replaced by the weights'
    if 'ln2.weight' in weights:
        config['out_type'] = 'avg_featmap'
    elif not with_cls:
        config['out_type'] = 'raw'
    bias = 'patch_embed.projection.bias' in weights
    if bias == config.get('pre_norm', False):
        config['patch_cfg'] = dict(bias=bias)
    return config


def _resnet(weights: Mapping[str, Tensor], given: dict, kind: str) -> dict:
    blocks = [
        {int(k.split('.')[1]) for k in weights if k.startswith(f'layer{i}.')} for i in range(1, 5)
    ]
    bottleneck = 'layer1.0.conv3.weight' in weights
    depth = DEPTHS.get((bottleneck, tuple(map(len, blocks))))
    if depth is None:
        raise ValueError(
            f'no ResNet of depth {", ".join(map(str, DEPTHS.values()))} has '
            f'{list(map(len, blocks))} blocks'
        )
    if not kind:
        stem = weights.get('conv1.weight')
        if stem is None or stem.shape[2] != 7:
            raise ValueError('a ResNet with another stem than 7 x 7: name its config with --config')
        kind = 'ResNet'
    if given.get('deep_stem') and kind == 'ResNet':
        kind = 'ResNetV1d' if given.get('avg_down') else 'ResNetV1c'
    scope = 'mssl_plugins' if kind == 'SmallImageResNet' else 'mmpretrain'
    config = dict(type=f'{scope}.{kind}', depth=depth)
    if (
        kind == 'SmallImageResNet'
        and not given.get('pool', True)
        and given.get('stem_stride', 1) == 1
    ):
        config['type'] = 'mmpretrain.ResNet_CIFAR'
    elif kind == 'SmallImageResNet':
        config.update({k: given[k] for k in ('pool', 'stem_stride') if k in given})
    stem = weights.get('conv1.weight', weights.get('stem.2.conv.weight'))
    first = weights.get('conv1.weight', weights.get('stem.0.conv.weight'))
    optional = dict(
        in_channels=(3 if first is None else first.shape[1], 3),
        base_channels=(weights['layer1.0.conv1.weight'].shape[0], 64),
        stem_channels=(None if stem is None else stem.shape[0], 64),
        strides=(list(given.get('strides', (1, 2, 2, 2))), [1, 2, 2, 2]),
        dilations=(list(given.get('dilations', (1, 1, 1, 1))), [1, 1, 1, 1]),
        style=(given.get('style', 'pytorch'), 'pytorch'),
    )
    config.update({k: v for k, (v, default) in optional.items() if v != default})
    eps = (given.get('norm_cfg') or {}).get('eps', 1e-5)
    if eps != 1e-5:
        config['norm_cfg'] = dict(type='BN', eps=eps)
    return config
