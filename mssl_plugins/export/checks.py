"""Checks that a network fits a library; if not, one line says why."""

from typing import Dict

from torch import Tensor

from mssl_plugins.checkpoints.reader import Backbone

NEWER = dict(
    registers='register tokens', rope='rotary positions', layer_cfgs='SwiGLU MLP (w12, w3)'
)


def no_such_network(target: str, why: str) -> ValueError:
    """An error that says what the target lacks and where the weights can go."""
    return ValueError(f'{target} has no such network: {why}; MMPretrain has (--to mmpretrain)')


def norm_eps(b: Backbone) -> float:
    """The epsilon of its norms."""
    default = 1e-6 if b.family == 'vit' else 1e-5
    return b.config.get('norm_cfg', {}).get('eps', default)


def pair(size):
    """(height, width), from a side or a pair."""
    return (size, size) if isinstance(size, int) else tuple(size)


def check_vit(
    b: Backbone,
    target: str,
    scale: bool = False,
    pre: bool = False,
    cls: bool = True,
    eps: bool = True,
    newer: bool = False,
) -> dict:
    """The sizes of a ViT, if the target has a network of its parts.

    Args:
        b (Backbone): A ViT.
        target (str): Name of the target, for the message.
        scale (bool): Whether the target has layer scale. Defaults to False.
        pre (bool): Whether it has norms before the blocks and after pooling.
            Defaults to False.
        cls (bool): Whether its class token is fixed. Defaults to True.
        eps (bool): Whether the epsilon of its norms is fixed. Defaults to True.
        newer (bool): Whether it has the parts in ``NEWER``. Defaults to False.

    Returns:
        dict: ``arch`` of the config.

    Raises:
        ValueError: If the target lacks a part.
    """
    c = b.config
    for part, what in NEWER.items():
        if c.get(part) and not newer:
            raise no_such_network(target, f'its ViT has no {what}')
    if 'layer_scale_init_value' in c and not scale:
        raise no_such_network(target, 'its ViT scales no layers (gamma1, gamma2)')
    if c.get('pre_norm') and not pre:
        raise no_such_network(target, 'its ViT has no norm before the blocks')
    if not c.get('with_cls_token', True) and cls:
        raise no_such_network(target, 'its ViT always has a class token')
    if norm_eps(b) != 1e-6 and eps:
        raise no_such_network(
            target, f"its ViT's norms divide by sqrt(var + 1e-6), these by {norm_eps(b):g}"
        )
    if c.get('out_type') == 'avg_featmap' and not pre:
        raise no_such_network(target, 'its ViT has no norm after pooling (ln2)')
    patch = pair(c['patch_size'])
    if patch[0] != patch[1]:
        raise no_such_network(target, f'its patches are square, these are {patch[0]} x {patch[1]}')
    return c['arch']


def check_resnet(b: Backbone, target: str, widths: bool = False, caffe: bool = False) -> None:
    """Refuses a ResNet that differs from torchvision's.

    Args:
        b (Backbone): A ResNet.
        target (str): Name of the target, for the message.
        widths (bool): Whether the target takes other widths. Defaults to False.
        caffe (bool): Whether it takes ``style='caffe'``. Defaults to False.

    Raises:
        ValueError: If the target lacks a part.
    """
    c, kind = b.config, b.config['type'].split('.')[-1]
    if kind in ('ResNet_CIFAR', 'SmallImageResNet'):
        raise no_such_network(
            target,
            'its ResNets begin with a 7 x 7 convolution of stride 2 and a max-pool, '
            f'this one ({kind}) with a 3 x 3 one',
        )
    if kind != 'ResNet':
        raise no_such_network(target, f'this one ({kind}) begins with three 3 x 3 convolutions')
    for name in ('strides', 'dilations'):
        if name in c:
            raise no_such_network(target, f'the stages of this one have {name} {c[name]}')
    if ('base_channels' in c or 'stem_channels' in c) and not widths:
        raise no_such_network(
            target,
            'its ResNets have 64 channels in stem and first stage, this one '
            f'{c.get("stem_channels", 64)} and {c.get("base_channels", 64)}',
        )
    if c.get('style', 'pytorch') != 'pytorch' and not caffe:
        raise no_such_network(
            target,
            'its bottlenecks stride in the 3 x 3 convolution, these in the 1 x 1 one (style=caffe)',
        )
    if norm_eps(b) != 1e-5:
        raise no_such_network(
            target, f'its norms divide by sqrt(var + 1e-5), these by {norm_eps(b):g}'
        )


def with_bias(b: Backbone) -> Dict[str, Tensor]:
    """Weights with a bias of zero where query, key and value have none."""
    weights = dict(b.weights)
    for key, value in b.weights.items():
        if key.endswith('.attn.qkv.weight'):
            weights.setdefault(key[:-6] + 'bias', value.new_zeros(len(value)))
    return weights


def timm_sizes(b: Backbone) -> dict:
    """A ViT's sizes as the arguments of timm's classes."""
    arch = b.config['arch']
    return dict(
        img_size=list(b.size),
        patch_size=pair(b.config['patch_size'])[0],
        embed_dim=arch['embed_dims'],
        depth=arch['num_layers'],
        num_heads=arch['num_heads'],
    )
