"""Compares a checkpoint's keys and shapes with a model's."""

from typing import Iterable, List, Mapping, NamedTuple, Optional

from torch import Tensor


def some(keys: Iterable[str], count: int = 5) -> str:
    """The first few names, and how many more there are."""
    keys = list(keys)
    return ', '.join(keys[:count]) + (f' and {len(keys) - count} more' if keys[count:] else '')


class KeyReport(NamedTuple):
    """The names of a model and of a checkpoint, compared.

    Attributes:
        matched (List[str]): In both, of one shape.
        missing (List[str]): In the model, not in the checkpoint.
        unexpected (List[str]): In the checkpoint, not in the model.
        reshaped (List[str]): In both, of different shapes, as sentences:
            "name (3,) instead of (4,)", the checkpoint's shape first.
    """

    matched: List[str]
    missing: List[str]
    unexpected: List[str]
    reshaped: List[str]

    def __str__(self) -> str:
        return '; '.join([f'{len(self.matched)} tensors loaded', *self.differences()])

    def differences(self) -> List[str]:
        """What does not match, one line for each kind of difference."""
        return [
            f'{title}: {some(keys)}'
            for title, keys in (
                ('missing', self.missing),
                ('of another shape', self.reshaped),
                ('unexpected', self.unexpected),
            )
            if keys
        ]


def compare(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], resized: Iterable[str] = ()
) -> KeyReport:
    """Compares a checkpoint's weights with a model's.

    Args:
        own (Mapping[str, Tensor]): The model's state dict.
        given (Mapping[str, Tensor]): The checkpoint's, under the same names.
        resized (Iterable[str]): Suffixes of names whose shapes may differ, such
            as position embeddings that a model resizes while loading. Defaults
            to none.

    Returns:
        KeyReport: In the order of the model's names, then the checkpoint's.
    """
    matched, missing, reshaped = [], [], []
    for key, value in own.items():
        shape = getattr(given.get(key), 'shape', None)
        if shape is None:
            missing.append(key)
        elif shape == value.shape or key.endswith(tuple(resized)):
            matched.append(key)
        else:
            reshaped.append(f'{key} {tuple(shape)} instead of {tuple(value.shape)}')
    return KeyReport(matched, missing, [k for k in given if k not in own], reshaped)


def without_counters(keys: Iterable[str]) -> List[str]:
    """Names without the batch counters that old checkpoints lack.

    Nothing but a BatchNorm of ``momentum=None`` reads them.
    """
    return [k for k in keys if not k.endswith('num_batches_tracked')]


def _is_rotary(keys: Mapping[str, Tensor]) -> bool:
    # other libraries' files hold no periods, but DINOv3's registers
    return 'pos_embed' not in keys and ('rope.periods' in keys or 'register_tokens' in keys)


def part_amiss(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Optional[str]:
    """Which part a ViT or its weights lack, and the argument that builds it.

    Args:
        own (Mapping[str, Tensor]): The network's state dict, without prefix.
        given (Mapping[str, Tensor]): The weights, under the same names.

    Returns:
        str, optional: None if they have the same parts, or are no ViT's.
        Registers without a class token beside them (as in ViTDet) may stay
        unused.
    """
    if any('patch_embed.projection.weight' not in keys for keys in (own, given)):
        return None
    parts = (
        ('rotary positions', _is_rotary, 'rope=dict(base=100.0)'),
        (
            'a SwiGLU MLP',
            lambda keys: 'layers.0.ffn.w12.weight' in keys,
            "layer_cfgs=dict(ffn_type='swiglu')",
        ),
        (
            'layer scale',
            lambda keys: 'layers.0.attn.gamma1.weight' in keys,
            'layer_scale_init_value=1e-5',
        ),
    )
    for what, has, how in parts:
        if has(given) and not has(own):
            return f'the weights have {what}, this network has not: build it with {how}'
        if has(own) and not has(given):
            return f'this network has {what}, the weights have not: build it without {how}'
    has, wanted = (
        keys['register_tokens'].shape[1] if 'register_tokens' in keys else 0
        for keys in (given, own)
    )
    if has != wanted and 'cls_token' in own:
        return (
            f'the weights have {has} register tokens, this network has {wanted}: '
            f'build it with registers={has}'
        )
    return None
