"""Checkpoints of any library: read without running code, backbone found.

A pickle may run code when it is read, so only ``weights_only`` reading is used
here.  MMEngine falls back to reading without it, and its list of allowed names
holds ``getattr``, which gives a pickle every attribute of the other allowed
names.  safetensors files hold no code.
"""

import os
import re
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Dict, Iterator, List, Mapping, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import load_file
from torch import Tensor, nn

from mssl_plugins.checkpoints.compare import KeyReport, compare, part_amiss, some, without_counters
from mssl_plugins.checkpoints.naming import for_backbone
from mssl_plugins.errors import unknown


class _History(HistoryBuffer):
    """Takes a pickled log's numbers and leaves its functions."""

    def __setstate__(self, state: dict) -> None:
        self.__class__ = HistoryBuffer
        self.max_length = int(state['max_length'])
        self._log_history = np.asarray(state['_log_history'], float)
        self._count_history = np.asarray(state['_count_history'], float)
        self._set_default_statistics()


def _statistic(owner: type, name: str) -> None:
    """Stands for ``getattr`` in a pickled log, which names its functions so."""
    if owner is not _History:
        raise UnpicklingError(f'Unsupported global: GLOBAL getattr of {owner}')


def _allowed() -> List[tuple]:
    """The types that stock MMEngine checkpoints hold besides tensors."""
    core = getattr(np, '_core', None) or np.core
    dtypes = {type(np.dtype(t)) for t in '? i1 u1 i4 u4 i8 f2 f4 f8'.split()}
    return [
        (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_statistic, 'builtins.getattr'),
        (bytes, 'builtins.bytes'),  # of an empty array
        # A checkpoint names numpy's functions as the numpy that wrote it did.
        *(
            (getattr(core.multiarray, name), f'numpy.{place}.multiarray.{name}')
            for name in ('_reconstruct', 'scalar')
            for place in ('core', '_core')
        ),
        np.ndarray,
        np.dtype,
        *dtypes,
    ]


@contextmanager
def _only_allowed() -> Iterator[None]:
    """Allows exactly what :func:`_allowed` lists."""
    # torch before 2.6 takes no (object, name) pairs.
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        yield
        return
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(_allowed())
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def load_checkpoint_safely(
    path: Union[str, Path], map_location: Union[str, torch.device] = 'cpu'
) -> dict:
    """Reads a checkpoint without running anything it may contain.

    Args:
        path (str | Path): A file of ``torch.save`` or, by its suffix,
            safetensors.
        map_location (str | torch.device): Where tensors go. Defaults to 'cpu'.

    Returns:
        dict: What the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or holds a type that could run code;
            the message names the file and the type.

    Note:
        Before torch 2.6 no further types can be allowed, so stock MMEngine
        checkpoints, which hold logs, are refused there. Checkpoints of this
        library hold only tensors and plain Python types.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no such checkpoint: {path}')
    try:
        if path.suffix == '.safetensors':
            return load_file(path, device=str(map_location))
        with _only_allowed():
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # many types, by what is wrong with the bytes
        text = str(error)
        # torch 2.6 and later: 'GLOBAL os.system', 'function <...>'; 2.1:
        # 'Unsupported class os.system'
        refused = re.search(
            r'(?:GLOBAL|nsupported class|unrecognized function|but got'
            r"|whose module) ([\w.<>' ]+?)(?: was not| which|\.?\s|\.?$)",
            text,
        )
        if refused and ('eights' in text or isinstance(error, UnpicklingError)):
            raise ValueError(
                f'{path} is refused: it holds {refused.group(1)}, and reading '
                'that could run code; where you trust the file, save it again '
                'as tensors and plain Python types'
            ) from None
        reason = (text.strip() or type(error).__name__).splitlines()[0]
        if 'eights only' in reason or 'eights_only' in reason:  # torch's advice is to run it
            reason = 'damaged, or more than tensors and plain Python types, which could run code'
        raise ValueError(f'{path} is no readable checkpoint: {reason}') from None
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not a dictionary of weights')
    return checkpoint


# Where the weights lie in a checkpoint file, and what stands before a
# backbone's own keys: student and teacher in MMPretrain's, this library's,
# DINO's, MoCo's and timm's checkpoints.
CONTAINERS = ('state_dict', 'model', 'model_state_dict', 'module')
PREFIXES = dict(
    student=(
        'backbone.',
        'student.backbone.',
        'encoder_q.0.',
        'encoder_q.',
        'base_encoder.',
        'student.',
        'model.',
        '',
    ),
    teacher=(
        'teacher.module.backbone.',
        'teacher.backbone.',
        'teacher.module.0.',
        'encoder_k.module.0.',
        'target_net.module.0.',
        'teacher.module.',
        'encoder_k.module.backbone.',
        'target_net.module.backbone.',
        'encoder_k.0.',
        'encoder_k.',
        'momentum_encoder.',
        'teacher.',
    ),
)


def _weights(checkpoint: dict, branch: str) -> Dict[str, Tensor]:
    """The state dict of a checkpoint, without the prefix ``module.`` of wrappers."""
    # DINO keeps student and teacher apart: {'student': {...}, 'teacher': ...}
    for name in (branch, *CONTAINERS):
        inner = checkpoint.get(name)
        if isinstance(inner, dict) and any(isinstance(v, (Tensor, dict)) for v in inner.values()):
            if name == branch and not any(k.startswith(f'{branch}.') for k in inner):
                inner = {f'{branch}.{_bare(k)}': v for k, v in inner.items()}
            return _weights(inner, branch)
    return {_bare(k): v for k, v in checkpoint.items() if isinstance(v, Tensor)}


def _bare(key: str) -> str:
    for wrapper in ('module.', '_orig_mod.'):
        if key.startswith(wrapper):
            return _bare(key[len(wrapper) :])
    return key


def find_backbone(checkpoint: dict, branch: str = 'student') -> 'OrderedDict[str, Tensor]':
    """The backbone's weights in a checkpoint, under the backbone's own keys.

    Args:
        checkpoint (dict): A checkpoint or state dict, of this library,
            MMPretrain, timm, MoCo or DINO.
        branch (str): 'student' or 'teacher' (momentum encoder, target
            network). Defaults to 'student'.

    Returns:
        OrderedDict[str, Tensor]: The weights without their prefix.

    Raises:
        ValueError: If there are no weights, or none of ``branch``; the message
            lists the keys.
    """
    if branch not in PREFIXES:
        raise unknown(branch, PREFIXES, 'branch')
    weights = _weights(checkpoint, branch)
    if not weights:
        raise ValueError(
            f'the checkpoint holds no weights; its entries are {some(map(str, checkpoint))}'
        )
    for prefix in PREFIXES[branch]:
        found = OrderedDict(
            (k[len(prefix) :], v) for k, v in weights.items() if k.startswith(prefix)
        )
        # DINO wraps in `backbone.` once more.
        if any(k.startswith('backbone.') for k in found):
            found = OrderedDict((k[9:], v) for k, v in found.items() if k.startswith('backbone.'))
        if found:
            return found
    raise ValueError(f'the checkpoint has no {branch} backbone; its keys are {some(weights)}')


def check_numbers(weights: Mapping[str, Tensor], path: Union[str, Path]) -> None:
    """Refuses weights that cannot be computed with.

    Args:
        weights (Mapping[str, Tensor]): The weights.
        path (str | Path): Their file, for the message.

    Raises:
        ValueError: If a tensor holds NaN or infinity, is empty, or is sparse,
            quantized or without data.
    """
    plain = {
        k: v
        for k, v in weights.items()
        if v.layout is torch.strided and not v.is_quantized and not v.is_meta
    }
    found = (
        ('are of size 0', [k for k, v in weights.items() if not v.numel()]),
        ('are no plain numbers', [k for k in weights if k not in plain]),
        ('hold NaN or infinity', [k for k, v in plain.items() if not torch.isfinite(v).all()]),
    )
    for what, keys in found:
        if keys:
            raise ValueError(f'{path}: {len(keys)} of {len(weights)} tensors {what}: {some(keys)}')


def load_backbone(
    backbone: nn.Module, path: Union[str, Path], branch: str = 'student'
) -> KeyReport:
    """Loads a checkpoint's backbone into ``backbone``.

    Args:
        backbone (nn.Module): What to load into; unchanged on an error.
        path (str | Path): The checkpoint, see :func:`load_checkpoint_safely`;
            for MMPretrain's and our ViT and ResNet also of timm, DINO, MAE,
            torchvision, Hugging Face or Detectron2.
        branch (str): 'student' or 'teacher'. Defaults to 'student'.

    Returns:
        KeyReport: Matched, missing and unexpected keys.  What a checkpoint
        holds beyond the backbone (a classifier, a mask token) is unexpected.
        Only the backbone's ``optional_keys`` may be missing; they keep
        their initial values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is refused or unreadable, holds NaN or no such
            backbone, or a tensor of the backbone is missing or has another
            shape. The message lists the keys.
    """
    own = backbone.state_dict()
    weights = dict(for_backbone(find_backbone(load_checkpoint_safely(path), branch), own))
    biases = [k for k in own if k.endswith('.attn.qkv.bias')]
    if not any(k in weights for k in biases):  # none is zero: DINOv3 is published both ways
        whole = [k for k in biases if f'{k[:-4]}weight' in weights]
        weights.update({k: torch.zeros_like(own[k]) for k in whole})
    check_numbers(weights, path)
    optional = tuple(getattr(backbone, 'optional_keys', ()))
    # mmpretrain's transformers resize their position embeddings while loading.
    resized = ('pos_embed',) if hasattr(backbone, '_prepare_pos_embed') else ()
    report = compare(own, weights, (*resized, *optional))
    report = report._replace(missing=without_counters(report.missing))
    needed = [k for k in report.missing if not k.endswith(optional)]
    # More layers of a kind the backbone has are another depth; a classifier
    # or a mask token is not.
    kinds = {k.split('.')[0] for k in own}
    deeper = any(k.split('.')[0] in kinds for k in report.unexpected)
    amiss = part_amiss(own, weights)
    if amiss:
        raise ValueError(f'{path} is of another architecture: {amiss}')
    if needed or report.reshaped or deeper:
        raise ValueError(
            f'{path} is of another architecture than this {type(backbone).__name__}; '
            + '; '.join(report._replace(missing=needed).differences())
        )
    backbone.load_state_dict(weights, strict=False)
    return report


def safe_loading() -> None:
    """Makes every later reading of a checkpoint in this process take weights only.

    This includes MMEngine's, which otherwise falls back to unrestricted
    unpickling.
    """
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    CheckpointLoader.register_scheme('', load_from_local, force=True)


def load_from_local(filename: str, map_location=None) -> dict:
    """Replaces MMEngine's loader of local files by :func:`load_checkpoint_safely`."""
    return load_checkpoint_safely(filename, map_location or 'cpu')
