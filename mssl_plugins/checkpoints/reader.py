"""Reads the backbone in a checkpoint of any library: weights, config, method, branch."""

import hashlib
import json
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from mmengine.config import Config
from torch import Tensor

from mssl_plugins.catalogue import find
from mssl_plugins.checkpoints import architecture
from mssl_plugins.checkpoints import naming as keys
from mssl_plugins.checkpoints.loading import check_numbers, find_backbone, load_checkpoint_safely
from mssl_plugins.errors import unknown

#: what lies beside exported weights
METADATA = 'mssl_export.json'
WEIGHTS = ('model.safetensors', 'backbone.pth')
BRANCHES = ('student', 'teacher')
# Methods whose papers evaluate the teacher; those of the others evaluate the
# network that learns (MoCo's and MaskCo's query encoder, BYOL's online network).
TEACHERS = ('DINO', 'IBOT', 'MST', 'MaskGuidedDINO', 'MaskGuidedIBOT', 'MaskGuidedMST')
STEPS = ('teacher.steps', 'encoder_k.steps', 'target_net.steps')


class Backbone(NamedTuple):
    """A backbone with all that another library needs to know of it.

    Attributes:
        family (str): 'vit' or 'resnet'.
        weights (Dict[str, Tensor]): Under MMPretrain's names.
        config (dict): The config that builds it, see
            :func:`architecture.describe`.
        mean, std (List[float], optional): By which its images are normalized,
            for 0-255, RGB.
        source (dict): Where it comes from: method, branch, file, sha256,
            epoch, training config.
    """

    family: str
    weights: Dict[str, Tensor]
    config: dict
    mean: Optional[List[float]]
    std: Optional[List[float]]
    source: dict

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width in px that the network was made for; 224 for ResNets."""
        size = self.config.get('img_size', 224)
        return (size, size) if isinstance(size, int) else tuple(size)


def find_file(path: Union[str, Path]) -> Path:
    """A file of weights: the path itself, or the one in an exported folder.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        for name in WEIGHTS:
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f'no {" and no ".join(WEIGHTS)} in {path}')
    if not path.is_file():
        raise FileNotFoundError(f'no such checkpoint: {path}')
    return path


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        while part := f.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def default_branch(checkpoint: dict, method: Optional[str] = None) -> str:
    """'teacher' for DINO, iBOT and MST, whose papers evaluate it, else 'student'.

    Args:
        checkpoint (dict): A checkpoint; those that DINO's authors published are
            recognized by their keys.
        method (str, optional): Name of the algorithm. Defaults to None.

    Returns:
        str: 'student' or 'teacher'.
    """
    published = all(isinstance(checkpoint.get(name), dict) for name in BRANCHES)
    return 'teacher' if method in TEACHERS or published else 'student'


def read(
    path: Union[str, Path], branch: Optional[str] = None, config: Optional[str] = None
) -> Backbone:
    """Reads a backbone from a checkpoint.

    Args:
        path (str | Path): A checkpoint of this library, MMPretrain, timm,
            DINO, DINOv2, DINOv3, iBOT, MAE, MoCo, torchvision, Hugging Face or Detectron2
            (``.pth``), or an exported folder.
        branch (str, optional): 'student' or 'teacher'. Defaults to None, see
            :func:`default_branch`.
        config (str, optional): A config, by path or name, that says what the
            weights do not. Defaults to None: the one in the checkpoint, or
            beside it.

    Returns:
        Backbone: Under MMPretrain's names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is refused, holds NaN or no backbone of a known kind,
            lacks a value that the architecture needs, if the teacher was
            never updated, or if the backbone needs segmentation masks.
    """
    if branch is not None and branch not in BRANCHES:
        raise unknown(branch, BRANCHES, 'branch')
    path = find_file(path)
    checkpoint = load_checkpoint_safely(path)
    source, parts = _origin(path, checkpoint, config)
    model = parts.get('model') or {}
    if source.get('method') is None and 'type' in model:
        source['method'] = str(model['type']).split('.')[-1]
    exported = source.get('through') is not None
    if exported and branch not in (None, source['branch']):
        raise ValueError(
            f'{path} is an export of the {source["branch"]}: of the {branch} there is nothing in it'
        )
    if branch is None:
        branch = source['branch'] or default_branch(checkpoint, source['method'])
    state = checkpoint.get('state_dict', checkpoint)
    moved = [int(state[k]) for k in STEPS if k in state]
    if branch == 'teacher' and moved == [0]:
        raise ValueError(f'the teacher in {path} was never updated: take --branch student')
    weights = find_backbone(checkpoint, 'student' if exported else branch)
    check_numbers(weights, path)
    bias = [k for k in weights if k.startswith('mask_bias.')]
    if any(weights.pop(k).any() for k in bias):  # while it is 0, the ViT is plain
        raise ValueError(
            f"the {branch}'s backbone in {path} is of phase 1 of mask-guided training: it adds a "
            f'bias made of segmentation masks to its attention ({bias[0]}, ...), which no other '
            'library does. Distill it into a plain ViT (phase 2) and export that; of photos: '
            f'`train photos/mask-guided-distill_{_base_of(source)} --data FOLDER --from {path}`'
        )
    try:
        family = keys.recognize(weights)[0]
        weights = keys.to_ours(weights)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    given = model.get('backbone') or (model if 'arch' in model or 'depth' in model else None)
    if given and not given.get('with_cls_token', True) and 'cls_token' in weights:
        weights = {k: v for k, v in weights.items() if k != 'cls_token'}  # mmseg's, not used
        weights['pos_embed'] = weights['pos_embed'][:, 1:]
    described = architecture.describe(family, weights, given or architecture.read_hf_config(path))
    weights = architecture.with_periods(weights, described)
    images = {**(parts.get('data_preprocessor') or {}), **(model.get('data_preprocessor') or {})}
    return Backbone(
        family,
        {k: v.detach() for k, v in weights.items()},
        described,
        images.get('mean'),
        images.get('std'),
        {**source, 'branch': branch, **{k: images[k] for k in ('bits',) if k in images}},
    )


def _base_of(source: dict) -> str:
    return 'mae' if 'MAE' in str(source['method']) else 'dino'


def _origin(path: Path, checkpoint: dict, config: Optional[str]) -> Tuple[dict, dict]:
    """What a file tells besides its weights, and the parts of its config."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    source = dict(method=None, branch=None, file=path.name, sha256=sha256(path))
    source.update({k: meta[k] for k in ('epoch', 'iter') if isinstance(meta.get(k), int)})
    if config is not None:
        named = Config.fromfile(str(find(config)))
        source['config'] = named.pretty_text
        return source, named.to_dict()
    if isinstance(meta.get('cfg'), str):
        source['config'] = meta['cfg']
        return source, architecture.model_in(meta['cfg'])
    try:  # an export of an export keeps where the first came from
        known = json.loads((path.parent / METADATA).read_text())
        if known['weights'] == path.name:
            parts = dict(
                model=dict(backbone=known['architecture']), data_preprocessor=known['images']
            )
            return {**source, **known['source'], 'through': known['target']}, parts
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return source, {}


def for_model(checkpoint: dict, own: Iterable[str]) -> Optional[Dict[str, Tensor]]:
    """Another library's backbone under the keys that a model uses.

    Args:
        checkpoint (dict): A checkpoint of any library.
        own (Iterable[str]): The model's keys; those of its backbone begin
            with ``backbone.``.

    Returns:
        Dict[str, Tensor], optional: Weights ``backbone.*``; None if the
        checkpoint already has the model's names, or its names are unknown.
    """
    own = set(own)
    state = checkpoint.get('state_dict', checkpoint)
    if not own.isdisjoint(k[7:] if k.startswith('module.') else k for k in state):
        return None
    try:
        weights = find_backbone(checkpoint, default_branch(checkpoint))
    except ValueError:
        return None
    weights = keys.for_backbone(weights, [k[9:] for k in own if k.startswith('backbone.')])
    weights = {f'backbone.{k}': v for k, v in weights.items()}
    return None if own.isdisjoint(weights) else weights
