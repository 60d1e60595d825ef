"""Networks of DINOv2 and DINOv3 in other libraries: registers, rotary positions, SwiGLU."""

from typing import Tuple

from mssl_plugins.checkpoints.architecture import rope_base
from mssl_plugins.checkpoints.reader import Backbone
from mssl_plugins.export.checks import check_vit, no_such_network, norm_eps, pair, timm_sizes


def mmpretrain_config(b: Backbone) -> dict:
    """The config of MMPretrain's class if it has the network, else of ours."""
    c = b.config
    if c['type'] != 'mssl_plugins.ViT' or 'registers' in c or 'rope' in c:
        return c
    hidden = c['arch']['feedforward_channels']
    if hidden % 8:  # its SwiGLU takes 2/3 of a width, rounded up to a multiple of 8
        return c
    args = {k: v for k, v in c.items() if k not in ('antialias', 'interpolate_offset')}
    return dict(
        args,
        type='mmpretrain.VisionTransformer',
        arch=dict(c['arch'], feedforward_channels=hidden * 3 // 2),
        layer_cfgs=dict(ffn_type='swiglu_fused'),
    )


def swiglu(b: Backbone) -> bool:
    """Whether its MLPs are SwiGLU."""
    return 'layer_cfgs' in b.config


def biases(b: Backbone) -> Tuple[bool, bool]:
    """Whether queries and values have biases, and whether keys have."""
    rows = [v for k, v in b.weights.items() if k.endswith('.attn.qkv.bias')]
    return bool(rows), any(bool(v.chunk(3)[1].any()) for v in rows)


def timm_swiglu(b: Backbone) -> Tuple[str, float]:
    """An architecture of timm's plain ViT that has SwiGLU, and the ratio of its MLP."""
    arch = b.config['arch']
    dim, doubled = arch['embed_dims'], 2 * arch['feedforward_channels']
    ratio = doubled / dim if int(dim * (doubled / dim)) == doubled else (doubled + 0.5) / dim
    return 'vit_giant_patch14_dinov2', ratio


def dinov3_in_timm(b: Backbone) -> Tuple[str, dict]:
    """Architecture and arguments of timm's Eva for a network with rotary positions.

    Raises:
        ValueError: If Eva has no such network.
    """
    c, arch = b.config, check_vit(b, 'timm', scale=True, cls=False, eps=False, newer=True)
    dim, hidden = arch['embed_dims'], arch['feedforward_channels']
    query, key = biases(b)
    for wrong, why in (
        (norm_eps(b) != 1e-5, f'its DINOv3 divides by sqrt(var + 1e-5), this by {norm_eps(b):g}'),
        (key, 'its DINOv3 has no bias of keys'),
        ('layer_scale_init_value' not in c, 'its DINOv3 scales its layers'),
        (not c.get('with_cls_token', True), 'its DINOv3 has a class token'),
        ('registers' not in c, 'its DINOv3 has registers'),
        (not c.get('final_norm', True), 'its DINOv3 ends in a norm'),
        ('patch_cfg' in c, 'its patch embedding has a bias'),
    ):
        if wrong:
            raise no_such_network('timm', why)
    ratio = hidden / dim if int(dim * (hidden / dim)) == hidden else (hidden + 0.5) / dim
    name = 'vit_small_plus_patch16_dinov3' if swiglu(b) else 'vit_small_patch16_dinov3'
    args = dict(
        timm_sizes(b),
        mlp_ratio=ratio,
        qkv_bias=query,
        num_reg_tokens=c['registers'],
        rope_temperature=rope_base(b.weights['rope.periods']),
        global_pool='token',
    )
    if swiglu(b):
        args['swiglu_align_to'] = 1
    return name, args


def hf_sizes(b: Backbone, arch: dict) -> dict:
    """The settings that the configs of all of Hugging Face's ViTs share."""
    return dict(
        num_channels=3,
        hidden_size=arch['embed_dims'],
        num_hidden_layers=arch['num_layers'],
        num_attention_heads=arch['num_heads'],
        layer_norm_eps=norm_eps(b),
        image_size=b.size[0] if b.size[0] == b.size[1] else list(b.size),
        patch_size=pair(b.config['patch_size'])[0],
    )


def dinov3_in_hf(b: Backbone) -> dict:
    """The config of Hugging Face's DINOv3ViTModel.

    Raises:
        ValueError: If it has no such network.
    """
    c, arch = b.config, check_vit(b, 'hf', scale=True, eps=False, newer=True)
    if 'layer_scale_init_value' not in c:
        raise no_such_network('hf', 'its DINOv3 scales its layers')
    query, key = biases(b)
    return dict(
        architectures=['DINOv3ViTModel'],
        model_type='dinov3_vit',
        **hf_sizes(b, arch),
        intermediate_size=arch['feedforward_channels'],
        hidden_act='gelu' if not swiglu(b) else 'silu',
        num_register_tokens=c.get('registers', 0),
        rope_theta=rope_base(b.weights['rope.periods']),
        use_gated_mlp=swiglu(b),
        query_bias=query,
        key_bias=key,
        value_bias=query,
    )


def dinov2_in_hf(b: Backbone) -> dict:
    """The config of Hugging Face's Dinov2Model, or of the one with registers.

    Raises:
        ValueError: If they have no such network.
    """
    c, arch = b.config, check_vit(b, 'hf', scale=True, eps=False, newer=True)
    if 'layer_scale_init_value' not in c:
        raise no_such_network('hf', 'its DINOv2 scales its layers')
    if not c.get('final_norm', True):
        raise no_such_network('hf', 'its DINOv2 always ends in a norm')
    dim, hidden = arch['embed_dims'], arch['feedforward_channels']
    full = hidden * 3 // 2 if swiglu(b) else hidden  # its SwiGLU takes 2/3, a multiple of 8
    if full % dim or swiglu(b) and hidden % 8:
        raise no_such_network('hf', "its DINOv2's MLP is a whole number of times as wide")
    if c.get('registers') and b.size[0] != b.size[1]:
        raise no_such_network('hf', 'its positions beside registers are of a square')
    kind = 'Dinov2WithRegistersModel' if 'registers' in c else 'Dinov2Model'
    config = dict(
        architectures=[kind],
        model_type='dinov2_with_registers' if 'registers' in c else 'dinov2',
        **hf_sizes(b, arch),
        mlp_ratio=full // dim,
        hidden_act='gelu',
        qkv_bias='layers.0.attn.qkv.bias' in b.weights,
        use_swiglu_ffn=swiglu(b),
    )
    return dict(config, num_register_tokens=c['registers']) if 'registers' in c else config
