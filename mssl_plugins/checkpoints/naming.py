"""Names of the same weights in other libraries, both ways."""

import re
from typing import Dict, Iterable, Mapping, Tuple

from torch import Tensor

from mssl_plugins.checkpoints import forms
from mssl_plugins.checkpoints.tables import FOREIGN_PARTS, NAMINGS, OTHER_PARTS, WRAPPERS


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
    refuse_foreign(keys)
    known = ', '.join(n.title for namings in NAMINGS.values() for n in namings.values())
    raise ValueError(
        f'no ViT and no ResNet: the keys are {", ".join(sorted(keys)[:5])}, ...; known are {known}'
    )


def to_ours(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """A backbone's weights of any known library under MMPretrain's names.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of timm, DINO, DINOv2, DINOv3,
            iBOT, MAE, torchvision, Hugging Face, Detectron2, mmseg, mmdet,
            MMPretrain or this library. Classifiers, decoders and mask tokens
            are left out.

    Returns:
        Dict[str, Tensor]: The same tensors under the backbone's keys.

    Raises:
        ValueError: If the names are no known library's, or the network has a
            part that no backbone here has.
    """
    refuse_foreign(state_dict)
    family, name, wrapper = recognize(state_dict)
    body = _body({k[len(wrapper) :]: v for k, v in state_dict.items() if k.startswith(wrapper)})
    naming = NAMINGS[family][name]
    if naming.table is None:
        return body
    body = forms.unify(body, family, name)
    return _rename(body, naming.table, f'{naming.title} that mmpretrain has too')


def refuse_foreign(keys: Iterable[str]) -> None:
    """Says plainly which part of a network no ViT here has.

    Raises:
        ValueError: If there is one.
    """
    found = [
        f'{what} ({key})'
        for pattern, what in FOREIGN_PARTS
        for key in [next((k for k in keys if re.match(pattern, k)), None)]
        if key
    ]
    if found:
        raise ValueError(
            f'the weights have {" and ".join(found)}, which no ViT here has: of newer networks '
            'DINOv2 and DINOv3 are read'
        )


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
    body.pop('rope.periods', None)  # the others compute them
    renamed = _rename(
        body,
        [(ours, theirs) for theirs, ours in naming.table],
        f'a plain {"ViT" if family == "vit" else "ResNet"} such as {naming.title}',
    )
    return forms.separate(renamed, family, name)


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
