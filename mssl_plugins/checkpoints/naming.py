"""Names of the same weights in other libraries, both ways.

"Ours" are MMPretrain's: ``VisionTransformer``'s for ViTs, ``ResNet``'s for
ResNets, which torchvision, timm, mmdet and mmseg share.  What is more than a
renaming (Hugging Face stores query, key and value separately) follows the tables.
"""

import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Tuple

import torch
from torch import Tensor

Table = List[Tuple[str, str]]

# (theirs, ours); `{}` is a number.  Order matters where one begins another.
VIT: Table = [
    ('cls_token', 'cls_token'),
    ('pos_embed', 'pos_embed'),
    ('patch_embed.proj.', 'patch_embed.projection.'),
    ('norm_pre.', 'pre_norm.'),
    ('blocks.{}.norm1.', 'layers.{}.ln1.'),
    ('blocks.{}.attn.qkv.', 'layers.{}.attn.qkv.'),
    ('blocks.{}.attn.proj.', 'layers.{}.attn.proj.'),
    ('blocks.{}.ls1.gamma', 'layers.{}.attn.gamma1.weight'),
    ('blocks.{}.norm2.', 'layers.{}.ln2.'),
    ('blocks.{}.mlp.fc1.', 'layers.{}.ffn.layers.0.0.'),
    ('blocks.{}.mlp.fc2.', 'layers.{}.ffn.layers.1.'),
    ('blocks.{}.ls2.gamma', 'layers.{}.ffn.gamma2.weight'),
    ('norm.', 'ln1.'),
    ('fc_norm.', 'ln2.'),
]
MMSEG_VIT: Table = [
    ('cls_token', 'cls_token'),
    ('pos_embed', 'pos_embed'),
    ('patch_embed.projection.', 'patch_embed.projection.'),
    ('ln_pre.', 'pre_norm.'),
    ('layers.{}.ln1.', 'layers.{}.ln1.'),
    ('layers.{}.attn.attn.in_proj_', 'layers.{}.attn.qkv.'),
    ('layers.{}.attn.attn.out_proj.', 'layers.{}.attn.proj.'),
    ('layers.{}.ln2.', 'layers.{}.ln2.'),
    ('layers.{}.ffn.layers.', 'layers.{}.ffn.layers.'),
    ('ln1.', 'ln1.'),
]
TORCHVISION_VIT: Table = [
    ('class_token', 'cls_token'),
    ('encoder.pos_embedding', 'pos_embed'),
    ('conv_proj.', 'patch_embed.projection.'),
    ('encoder.layers.encoder_layer_{}.ln_1.', 'layers.{}.ln1.'),
    ('encoder.layers.encoder_layer_{}.self_attention.in_proj_', 'layers.{}.attn.qkv.'),
    ('encoder.layers.encoder_layer_{}.self_attention.out_proj.', 'layers.{}.attn.proj.'),
    ('encoder.layers.encoder_layer_{}.ln_2.', 'layers.{}.ln2.'),
    ('encoder.layers.encoder_layer_{}.mlp.0.', 'layers.{}.ffn.layers.0.0.'),
    ('encoder.layers.encoder_layer_{}.mlp.3.', 'layers.{}.ffn.layers.1.'),
    ('encoder.ln.', 'ln1.'),
]
HF_VIT: Table = [
    ('embeddings.cls_token', 'cls_token'),
    ('embeddings.position_embeddings', 'pos_embed'),
    ('embeddings.patch_embeddings.projection.', 'patch_embed.projection.'),
    ('encoder.layer.{}.layernorm_before.', 'layers.{}.ln1.'),
    ('encoder.layer.{}.attention.attention.qkv.', 'layers.{}.attn.qkv.'),  # split below
    ('encoder.layer.{}.attention.output.dense.', 'layers.{}.attn.proj.'),
    ('encoder.layer.{}.layernorm_after.', 'layers.{}.ln2.'),
    ('encoder.layer.{}.intermediate.dense.', 'layers.{}.ffn.layers.0.0.'),
    ('encoder.layer.{}.output.dense.', 'layers.{}.ffn.layers.1.'),
    ('layernorm.', 'ln1.'),
]
HF_DINOV2: Table = [
    *HF_VIT[:3],
    ('encoder.layer.{}.norm1.', 'layers.{}.ln1.'),
    *HF_VIT[4:6],
    ('encoder.layer.{}.layer_scale1.lambda1', 'layers.{}.attn.gamma1.weight'),
    ('encoder.layer.{}.norm2.', 'layers.{}.ln2.'),
    ('encoder.layer.{}.mlp.fc1.', 'layers.{}.ffn.layers.0.0.'),
    ('encoder.layer.{}.mlp.fc2.', 'layers.{}.ffn.layers.1.'),
    ('encoder.layer.{}.layer_scale2.lambda1', 'layers.{}.ffn.gamma2.weight'),
    ('layernorm.', 'ln1.'),
]
RESNET: Table = [
    ('conv1.', 'conv1.'),
    ('bn1.', 'bn1.'),
    ('layer{}.{}.', 'layer{}.{}.'),
]
HF_RESNET: Table = [
    ('embedder.embedder.convolution.', 'conv1.'),
    ('embedder.embedder.normalization.', 'bn1.'),
    *[
        (f'encoder.stages.{stage}.layers.{{}}.{theirs}', f'layer{stage + 1}.{{}}.{ours}')
        for stage in range(4)
        for theirs, ours in (
            *[(f'layer.{i}.convolution.', f'conv{i + 1}.') for i in range(3)],
            *[(f'layer.{i}.normalization.', f'bn{i + 1}.') for i in range(3)],
            ('shortcut.convolution.', 'downsample.0.'),
            ('shortcut.normalization.', 'downsample.1.'),
        )
    ],
]
DETECTRON2_RESNET: Table = [
    ('stem.conv1.norm.', 'bn1.'),
    ('stem.conv1.', 'conv1.'),
    *[
        (f'res{stage + 1}.{{}}.{theirs}', f'layer{stage}.{{}}.{ours}')
        for stage in range(1, 5)
        for theirs, ours in (
            *[(f'conv{i}.norm.', f'bn{i}.') for i in (1, 2, 3)],
            *[(f'conv{i}.', f'conv{i}.') for i in (1, 2, 3)],
            ('shortcut.norm.', 'downsample.1.'),
            ('shortcut.', 'downsample.0.'),
        )
    ],
]


class Naming(NamedTuple):
    """How a library names a backbone's weights.

    Attributes:
        signature (str): A key that every backbone of this naming has, and that
            no naming listed before it has.
        table (list): (theirs, ours); None for MMPretrain's own.
        title (str): For messages.
    """

    signature: str
    table: Table
    title: str


NAMINGS = dict(
    vit=dict(
        mmpretrain=Naming('layers.0.attn.qkv.weight', None, "MMPretrain's ViT"),
        timm=Naming('blocks.0.attn.qkv.weight', VIT, "timm's ViT, which DINO and MAE name alike"),
        mmseg=Naming('layers.0.attn.attn.in_proj_weight', MMSEG_VIT, "MMSegmentation's ViT"),
        hf_dinov2=Naming(
            'encoder.layer.0.layer_scale1.lambda1', HF_DINOV2, "Hugging Face's Dinov2Model"
        ),
        hf=Naming(
            'encoder.layer.0.attention.attention.query.weight', HF_VIT, "Hugging Face's ViTModel"
        ),
        torchvision=Naming(
            'encoder.layers.encoder_layer_0.ln_1.weight',
            TORCHVISION_VIT,
            "torchvision's VisionTransformer",
        ),
    ),
    resnet=dict(
        mmpretrain=Naming('layer1.0.conv1.weight', None, "torchvision's and OpenMMLab's ResNet"),
        hf=Naming(
            'encoder.stages.0.layers.0.layer.0.convolution.weight',
            HF_RESNET,
            "Hugging Face's ResNetModel",
        ),
        detectron2=Naming('res2.0.conv1.weight', DETECTRON2_RESNET, "Detectron2's ResNet"),
    ),
)

# Who keeps query, key and value apart.
APART = (('vit', 'hf'), ('vit', 'hf_dinov2'))
# Parts of DINOv2 and DINOv3 that no ViT here has: a pattern of their keys in
# timm, Hugging Face and their own code, what it is, and what to take instead.
NEWER = (
    (
        r'(.*\.)?(reg_token|register_tokens)$',
        'register tokens',
        'take the weights without registers (vit_*_patch14_dinov2, dinov2-small, -base, -large)',
    ),
    (
        r'.*\.mlp\.(w12|w3|weights_in|weights_out|gate_proj|fc1_g)\.',
        'a SwiGLU MLP',
        'take the small, base or large network, whose MLP is plain',
    ),
    (
        r'((.*\.)?rope(_embed)?\.|(model\.)?layer\.\d+\.attention\.|blocks\.\d+\.gamma_1)',
        'rotary position embeddings (RoPE)',
        'take DINOv2 instead of DINOv3',
    ),
)

# What stands before a backbone's keys in whole models of other libraries, and
# what of them is no backbone.
WRAPPERS = ('', 'vit.', 'dinov2.', 'resnet.', 'bottom_up.', 'timm_model.')
OTHER_PARTS = (
    'head.',
    'heads.',
    'fc.',
    'classifier.',
    'pooler.',
    'linear.',
    'mask_token',
    'embeddings.mask_token',
    'decoder',
)


def _rename(
    state_dict: Mapping[str, Tensor], pairs: Iterable[Tuple[str, str]], what: str
) -> Dict[str, Tensor]:
    rules = [(re.compile(re.escape(old).replace(r'\{\}', r'(\d+)')), new) for old, new in pairs]
    renamed, left = {}, []  # type: Dict[str, Tensor], List[str]
    for key, value in state_dict.items():
        for pattern, new in rules:
            match = pattern.match(key)
            if match:
                renamed[new.format(*match.groups()) + key[match.end() :]] = value
                break
        else:
            left.append(key)
    if left:
        raise ValueError(
            f'{len(left)} keys are not those of {what}, the first: ' + ', '.join(left[:5])
        )
    return renamed


def _body(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    return {k: v for k, v in state_dict.items() if not k.startswith(OTHER_PARTS)}


def _split(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Splits the joint weight of query, key and value into three."""
    apart = {}
    for key, value in state_dict.items():
        if '.qkv.' in key:
            for name, part in zip(('query', 'key', 'value'), value.chunk(3)):
                apart[key.replace('.qkv.', f'.{name}.')] = part
        else:
            apart[key] = value
    return apart


def _join(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The inverse of :func:`_split`."""
    joint = {}
    for key, value in state_dict.items():
        if '.query.' in key:
            value = torch.cat(
                [
                    state_dict[key.replace('.query.', f'.{name}.')]
                    for name in ('query', 'key', 'value')
                ]
            )
            joint[key.replace('.query.', '.qkv.')] = value
        elif '.key.' not in key and '.value.' not in key:
            joint[key] = value
    return joint


def recognize(keys: Iterable[str]) -> Tuple[str, str, str]:
    """Tells which library's names a backbone's weights have.

    Args:
        keys (Iterable[str]): Keys of a state dict, without ``backbone.``.

    Returns:
        Tuple[str, str, str]: The family, 'vit' or 'resnet'; the naming, a key
        of ``NAMINGS[family]``; the prefix of the keys.

    Raises:
        ValueError: If they are no known library's.
    """
    keys = set(keys)
    for wrapper in WRAPPERS:
        for family, namings in NAMINGS.items():
            for name, naming in namings.items():
                if wrapper + naming.signature in keys:
                    return family, name, wrapper
    refuse_newer(keys)
    known = ', '.join(n.title for namings in NAMINGS.values() for n in namings.values())
    raise ValueError(
        f'no ViT and no ResNet: the keys are {", ".join(sorted(keys)[:5])}, ...; known are {known}'
    )


def to_ours(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """A backbone's weights of any known library under MMPretrain's names.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of timm, DINO, MAE, torchvision,
            Hugging Face, Detectron2, mmseg, mmdet, MMPretrain or this
            library. Classifiers and decoders are left out.

    Returns:
        Dict[str, Tensor]: The same tensors under the backbone's keys.

    Raises:
        ValueError: If the names are no known library's, or the network has a
            part that MMPretrain's backbones lack (registers, SwiGLU, RoPE,
            attention pooling).
    """
    refuse_newer(state_dict)
    family, name, wrapper = recognize(state_dict)
    body = _body({k[len(wrapper) :]: v for k, v in state_dict.items() if k.startswith(wrapper)})
    naming = NAMINGS[family][name]
    if naming.table is None:
        return body
    if (family, name) in APART:
        body = _join(body)
    return _rename(body, naming.table, f'{naming.title} that mmpretrain has too')


def refuse_newer(keys: Iterable[str]) -> None:
    """Refuses weights of a network with parts that no ViT here has.

    Raises:
        ValueError: If it has registers, SwiGLU or RoPE; the message names them.
    """
    found = [
        (what, instead, next(key for key in keys if re.match(pattern, key)))
        for pattern, what, instead in NEWER
        if any(re.match(pattern, key) for key in keys)
    ]
    if found:
        parts = ' and '.join(f'{what} ({key})' for what, _, key in found)
        raise ValueError(f'the weights have {parts}, which no ViT here has: {found[-1][1]}')


def from_ours(state_dict: Mapping[str, Tensor], family: str, name: str) -> Dict[str, Tensor]:
    """Weights under MMPretrain's names, for another library.

    Args:
        state_dict (Mapping[str, Tensor]): The backbone's weights, without a prefix.
            The mask token is left out: only pre-training uses it.
        family (str): 'vit' or 'resnet'.
        name (str): A key of ``NAMINGS[family]``.

    Returns:
        Dict[str, Tensor]: The same tensors under the library's keys.

    Raises:
        ValueError: If the library has no such weight. No library has a mask
            bias: distill it into a plain ViT first (phase 2).
    """
    naming = NAMINGS[family][name]
    body = _body(state_dict)
    if naming.table is None:
        return body
    renamed = _rename(
        body,
        [(ours, theirs) for theirs, ours in naming.table],
        f'a plain {"ViT" if family == "vit" else "ResNet"} such as {naming.title}',
    )
    return _split(renamed) if (family, name) in APART else renamed


def for_backbone(state_dict: Mapping[str, Tensor], own: Iterable[str]) -> Mapping[str, Tensor]:
    """Weights under the names that a backbone uses, if both namings are known.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of any library, without a prefix.
        own (Iterable[str]): The backbone's keys.

    Returns:
        Mapping[str, Tensor]: Renamed to MMPretrain's names if the backbone uses
        those and the weights are another library's, else ``state_dict``.

    Raises:
        ValueError: See :func:`to_ours`.
    """
    try:
        wanted, given = recognize(own), recognize(state_dict)
    except ValueError:
        return state_dict
    same = given[:2] == wanted[:2] or given[0] != wanted[0]
    return state_dict if same or wanted[1] != 'mmpretrain' else to_ours(state_dict)
