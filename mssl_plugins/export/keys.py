"""Names of a ViT's weights in timm and in mmpretrain, both ways."""
import re
from typing import Dict, Iterable, List, Tuple

from torch import Tensor

#: (timm, mmpretrain); ``{}`` is the layer's number
VIT = [
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


def _rename(state_dict: Dict[str, Tensor], pairs: Iterable[Tuple[str, str]],
            what: str) -> Dict[str, Tensor]:
    rules = [(re.compile(re.escape(old).replace(r'\{\}', r'(\d+)')), new) for old, new in pairs]
    renamed, left = {}, []  # type: Dict[str, Tensor], List[str]
    for key, value in state_dict.items():
        for pattern, new in rules:
            match = pattern.match(key)
            if match:
                renamed[new.format(*match.groups()) + key[match.end():]] = value
                break
        else:
            left.append(key)
    if left:
        raise ValueError(f'{len(left)} keys are not those of {what}, the first: '
                         + ', '.join(left[:5]))
    return renamed


def from_timm(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Weights of timm's ``VisionTransformer`` for mmpretrain's and ours.

    Args:
        state_dict (Dict[str, Tensor]): Of a timm ViT. Its classifier
            ``head.*`` is left out.

    Returns:
        Dict[str, Tensor]: The same tensors under the backbone's keys.

    Raises:
        ValueError: If a key is not timm's, or is of a part that mmpretrain's
            ViT lacks (registers, attention pooling).
    """
    body = {k: v for k, v in state_dict.items() if not k.startswith('head.')}
    return _rename(body, VIT, "timm's ViT that mmpretrain has too")


def to_timm(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Weights of mmpretrain's ViT or ours for timm's ``VisionTransformer``.

    Args:
        state_dict (Dict[str, Tensor]): Of the backbone, without a prefix. The
            mask token is left out: only pre-training uses it.

    Returns:
        Dict[str, Tensor]: The same tensors under timm's keys, without
        classifier.

    Raises:
        ValueError: If a key is not of a plain ViT; a mask bias does not exist
            in timm (distil into a plain ViT first: phase 2).
    """
    body = {k: v for k, v in state_dict.items() if k != 'mask_token'}
    return _rename(body, [(ours, timm) for timm, ours in VIT], "mmpretrain's plain ViT")
