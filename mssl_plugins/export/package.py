"""Writes an exported backbone: a folder that is complete whenever it exists."""

import json
import re
import shutil
from pathlib import Path
from typing import Optional, Union

import torch
from safetensors.torch import save_file

from mssl_plugins import __version__
from mssl_plugins.checkpoints.reader import METADATA, read
from mssl_plugins.errors import unknown
from mssl_plugins.export.checks import no_such_network
from mssl_plugins.export.targets import TARGETS, Package
from mssl_plugins.files import whole_folder

CHANNELS = ('mmpretrain', 'timm')  # take networks for images of any number of channels
# An absolute path in quotes, of which the name is kept: POSIX, home, file://, Windows.
LOCAL_PATH = re.compile(
    r"""(['"])(?:file:|~[\w.-]*|[A-Za-z]:)?[/\\](?:(?:(?!\1).)*[/\\])?((?:(?!\1)[^/\\\n])+)[/\\]*\1"""
)


def export(
    checkpoint: Union[str, Path],
    target: str,
    out: Union[str, Path],
    branch: Optional[str] = None,
    config: Optional[str] = None,
    overwrite: bool = False,
) -> dict:
    """Writes the backbone of a checkpoint for another library.

    Args:
        checkpoint (str | Path): See :func:`mssl_plugins.checkpoints.reader.read`.
        target (str): mmpretrain, mmdet, mmseg, timm, hf, torchvision or
            detectron2.
        out (str | Path): A new folder.
        branch (str, optional): 'student' or 'teacher'. Defaults to None: the
            teacher for DINO, iBOT and MST, else the student.
        config (str, optional): A config, by path or name, of the architecture;
            needed if neither the weights nor the checkpoint describe it.
            Defaults to None.
        overwrite (bool): Replace an earlier export. Defaults to False.

    Returns:
        dict: The content of ``mssl_export.json`` in the folder: ``target``,
        ``weights`` (file name), ``model`` (what builds it there), ``load``
        (the line that loads it), ``architecture`` (in MMPretrain's terms),
        ``images`` (mean and std for 0-255 RGB), ``source`` (method, branch,
        file, sha256, config, ...).

    Raises:
        FileNotFoundError, ValueError: See :func:`mssl_plugins.checkpoints.reader.read`;
            also if the target is unknown or has no such network, or ``out``
            exists. Nothing is written then.
    """
    if target not in TARGETS:
        raise unknown(target, TARGETS, 'target')
    out = Path(out).expanduser()
    _check_free(out, overwrite)
    backbone = read(checkpoint, branch, config)
    channels = backbone.config.get('in_channels', 3)
    if channels != 3 and target not in CHANNELS:
        raise no_such_network(target, f'one for images of {channels} channels')
    package = TARGETS[target](backbone)
    metadata = dict(
        target=target,
        weights=package.file,
        model=package.model,
        load=package.load,
        architecture=backbone.config,
        images=dict(mean=backbone.mean, std=backbone.std),
        source=_public(backbone.source),
        written_by=f'mssl_plugins {__version__}',
    )
    _write(out, package, metadata)
    return json.loads((out / METADATA).read_text())


def _public(source: dict) -> dict:
    """Where a backbone comes from, without the paths of the machine that exports it."""
    if 'config' not in source:
        return source
    return dict(source, config=LOCAL_PATH.sub(r'\1\2\1', source['config']))


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists() or out.is_dir() and not any(out.iterdir()):
        return
    if not (out / METADATA).is_file():
        raise ValueError(f'{out} exists and is no export: name a new folder')
    if not overwrite:
        raise ValueError(
            f'{out} holds an export already: name a new folder, or replace it with --overwrite'
        )


def _write(out: Path, package: Package, metadata: dict) -> None:
    with whole_folder(out) as part:
        # Chunks of one tensor share memory, channels-last ones have strides:
        # neither should be written.
        weights = {
            k: v.clone(memory_format=torch.contiguous_format) for k, v in package.weights.items()
        }
        for name, content in {**package.extra, METADATA: metadata}.items():
            (part / name).write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
        if package.file.endswith('.safetensors'):
            save_file(weights, part / package.file, metadata=dict(format='pt'))
            shutil.copymode(part / METADATA, part / package.file)  # others may read it too
        else:
            torch.save(package.around(weights), part / package.file)
