"""What tables of names cannot say: tensors that libraries join, split or leave out.

- query, key and value apart, or without the bias of the key (Hugging Face, timm's Eva, DINOv3)
- a SwiGLU MLP's two projections apart, or under a plain MLP's name (timm, DINOv3)
- position embeddings without rows for class token and registers (timm)
"""

import math
from typing import Dict, Mapping, Sequence

import torch
from torch import Tensor

QUERY = ('query', 'key', 'value')
PROJ = ('q_proj', 'k_proj', 'v_proj')
#: Names of query, key and value in libraries that keep them apart.
APART = {('vit', 'hf'): QUERY, ('vit', 'hf_dinov2'): QUERY, ('vit', 'hf_dinov3'): PROJ}
#: Names of the gate, the other and the last projection in libraries that keep the first two apart.
GATED = dict(
    dinov3=('w1', 'w2', 'w3'),
    eva=('fc1_g', 'fc1_x', 'fc2'),
    hf_dinov3=('gate_proj', 'up_proj', 'down_proj'),
)


def unify(weights: Mapping[str, Tensor], family: str, name: str) -> Dict[str, Tensor]:
    """Another library's weights as the tables expect them.

    Args:
        weights (Mapping[str, Tensor]): Weights of a backbone, under the library's names.
        family (str): 'vit' or 'resnet'.
        name (str): The naming, a key of ``NAMINGS[family]``.

    Returns:
        Dict[str, Tensor]: Under names that the table of this naming has.

    Raises:
        ValueError: If they are of an Eva that is no DINOv3.
    """
    weights = dict(weights)
    if (family, name) in APART:
        weights = _join(weights, APART[family, name])
    if name in GATED:
        weights = _join_gates(weights, *GATED[name])
    if name == 'dinov3':
        weights = _mask_biases(weights)
    if name == 'eva':
        weights = _eva(weights)
    if name == 'timm':
        weights = _timm(weights)
    return weights


def separate(weights: Mapping[str, Tensor], family: str, name: str) -> Dict[str, Tensor]:
    """The inverse of :func:`unify`, for exports; arguments and result alike."""
    weights = dict(weights)
    if (family, name) in APART:
        weights = _split(weights, APART[family, name])
    if name in GATED:
        weights = _split_gates(weights, *GATED[name])
    if name == 'eva':
        for key in [k for k in weights if k.endswith('.qkv.bias')]:
            query, _, value = weights.pop(key).chunk(3)
            weights[key.replace('qkv.bias', 'q_bias')] = query
            weights[key.replace('qkv.bias', 'v_bias')] = value
    if name == 'timm':
        weights = {
            k.replace('.mlp.w12.', '.mlp.fc1.').replace('.mlp.w3.', '.mlp.fc2.'): v
            for k, v in weights.items()
        }
        if 'reg_token' in weights:  # there only patches have position embeddings
            table = weights['pos_embed']
            weights['cls_token'] = weights['cls_token'] + table[:, :1]
            weights['pos_embed'] = table[:, 1:]
    return weights


def _split(weights: Mapping[str, Tensor], names: Sequence[str]) -> Dict[str, Tensor]:
    """Query, key and value apart."""
    apart = {}
    for key, value in weights.items():
        if '.qkv.' in key:
            for name, part in zip(names, value.chunk(3)):
                apart[key.replace('.qkv.', f'.{name}.')] = part
        else:
            apart[key] = value
    return apart


def _join(weights: Mapping[str, Tensor], names: Sequence[str]) -> Dict[str, Tensor]:
    """The inverse of :func:`_split`; a bias that one of the three lacks is zero."""
    marks = [f'.{name}.' for name in names]
    joint = {}
    for key, value in weights.items():
        mark = next((m for m in marks if m in key), None)
        if mark is None:
            joint[key] = value
            continue
        parts = [weights.get(key.replace(mark, m), torch.zeros_like(value)) for m in marks]
        joint[key.replace(mark, '.qkv.')] = torch.cat(parts)
    return joint


def _join_gates(
    weights: Mapping[str, Tensor], gate: str, other: str, last: str
) -> Dict[str, Tensor]:
    """Gate and other projection of SwiGLU MLPs in one, ``w12``; the last is ``w3``."""
    if not any(f'.mlp.{gate}.' in k for k in weights):
        return dict(weights)
    joint = {}
    for key, value in weights.items():
        if f'.mlp.{gate}.' in key:
            pair = weights[key.replace(f'.{gate}.', f'.{other}.')]
            joint[key.replace(f'.{gate}.', '.w12.')] = torch.cat([value, pair])
        elif f'.mlp.{other}.' not in key:
            joint[key.replace(f'.mlp.{last}.', '.mlp.w3.')] = value
    return joint


def _split_gates(
    weights: Mapping[str, Tensor], gate: str, other: str, last: str
) -> Dict[str, Tensor]:
    """The inverse of :func:`_join_gates`."""
    apart = {}
    for key, value in weights.items():
        if '.mlp.w12.' in key:
            first, second = value.chunk(2)
            apart[key.replace('.w12.', f'.{gate}.')] = first
            apart[key.replace('.w12.', f'.{other}.')] = second
        else:
            apart[key.replace('.mlp.w3.', f'.mlp.{last}.')] = value
    return apart


def _mask_biases(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """DINOv3's own biases times their masks, which are zero for the key's bias."""
    for key in [k for k in weights if k.endswith('.bias_mask')]:
        mask, bias = weights.pop(key), key[: -len('_mask')]
        weights[bias] = weights[bias] * mask.to(weights[bias].dtype)
    return weights


def _eva(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """A DINOv3 in timm's form, its Eva: no bias of the key, rotary positions."""
    if 'pos_embed' in weights or 'reg_token' not in weights:
        lack = 'position embeddings' if 'pos_embed' in weights else 'no register tokens'
        raise ValueError(
            f"the weights are of timm's Eva with {lack}: of its networks only DINOv3 is read "
            '(vit_*_dinov3*), because files do not tell the rotary positions of others'
        )
    for key in [k for k in weights if k.endswith('.attn.q_bias')]:
        query, value = weights.pop(key), weights.pop(key.replace('q_bias', 'v_bias'))
        weights[key.replace('q_bias', 'qkv.bias')] = torch.cat(
            [query, torch.zeros_like(query), value]
        )
    return weights


def _timm(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """SwiGLU under a plain MLP's names, and positions of patches only."""
    first, last = (weights.get(f'blocks.0.mlp.{n}.weight') for n in ('fc1', 'fc2'))
    if first is not None and last is not None and len(first) == 2 * last.shape[1]:
        weights = {
            k.replace('.mlp.fc1.', '.mlp.w12.').replace('.mlp.fc2.', '.mlp.w3.'): v
            for k, v in weights.items()
        }
    registers, table = weights.get('reg_token'), weights.get('pos_embed')
    if registers is None or table is None or 'cls_token' not in weights:
        return weights
    extra = 1 + registers.shape[1]
    if _is_square(table.shape[1]) or not _is_square(table.shape[1] - extra):
        weights['pos_embed'] = torch.cat([torch.zeros_like(table[:, :1]), table], 1)
    else:  # class token and registers have rows too
        weights['reg_token'] = registers + table[:, 1:extra]
        weights['pos_embed'] = torch.cat([table[:, :1], table[:, extra:]], 1)
    return weights


def _is_square(number: int) -> bool:
    return number >= 0 and math.isqrt(number) ** 2 == number
