"""The shipped configs: their names, and what each costs and reaches.

Every config assigns a literal ``catalogue = dict(method=..., base=...,
data=..., epochs=..., paper=..., expected=..., cost=...)``, the only place of
these facts: ``python -m mssl_plugins list``, the metafiles and the pages take
them from there.  It is read without running the config, so that listing needs
no OpenMMLab and takes no time.  A key that a config leaves out comes from its
``_base_`` files.
"""

import ast
import difflib
import fnmatch
import re
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Optional

from mssl_plugins.errors import nearest, unknown

#: what follows the method in the name of a photo recipe
NETWORK = r'_(resnet\d+|vit-[a-z]\d+)_photos$'
# paper: what is implemented, and what is our choice; expected: figures and whose they are;
# cost: hardware and time.
KEYS = ('method', 'base', 'data', 'epochs', 'paper', 'expected', 'cost')


def root() -> Path:
    """The folder that holds ``configs/`` and ``tools/``.

    That of the checkout the package is imported from, or the package's
    ``.mim`` where it was installed from a wheel.

    Raises:
        FileNotFoundError: If neither is there.
    """
    package = Path(__file__).resolve().parent
    for place in (package / '.mim', package.parent):
        if (place / 'configs').is_dir() and (place / 'tools').is_dir():
            return place
    raise FileNotFoundError(f'no configs beside {package}: reinstall mssl-plugins-openmmlab')


@lru_cache(maxsize=None)
def _metadata(path: Path) -> dict:
    """The ``catalogue`` of a config file, completed from its bases."""
    own, bases = {}, []
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if not isinstance(node, ast.Assign):
            continue
        name = getattr(node.targets[0], 'id', None)
        if name == '_base_':
            given = ast.literal_eval(node.value)
            bases = [given] if isinstance(given, str) else given
        elif name == 'catalogue':
            value = node.value
            own = (
                {k.arg: ast.literal_eval(k.value) for k in value.keywords}
                if isinstance(value, ast.Call)
                else ast.literal_eval(value)
            )
    merged = {}
    for base in bases:
        file = path.parent / base
        if '::' not in base and file.is_file():
            merged.update(_metadata(file.resolve()))
    return {**merged, **own}


def configs(method: Optional[str] = None) -> List[Dict]:
    """Every shipped config.

    Args:
        method (str, optional): Only those of this method. Defaults to None.

    Returns:
        List[Dict]: ``name``, ``path`` and ``KEYS`` of each, ordered by path;
        None where a config does not say.

    Raises:
        ValueError: If there is no such method.
    """
    folder = root() / 'configs'
    found = []
    for path in sorted(folder.rglob('*.py')):
        if '_base_' in path.relative_to(folder).parts:
            continue
        known = _metadata(path.resolve())
        entry = dict(name=path.stem, path=str(path), **{key: known.get(key) for key in KEYS})
        entry['method'] = entry['method'] or path.relative_to(folder).parts[0]
        found.append(entry)
    if method is not None:
        methods = {entry['method'] for entry in found}
        if method not in methods:
            raise unknown(method, methods, 'method')
        found = [entry for entry in found if entry['method'] == method]
    return found


def match(pattern: Optional[str] = None) -> List[Dict]:
    """The shipped configs whose names match a pattern.

    Args:
        pattern (str, optional): With ``*`` and ``?`` as in a shell; without
            them a part of the name. Defaults to None: all.

    Returns:
        List[Dict]: See :func:`configs`.

    Raises:
        ValueError: If there is none; names the nearest ones.
    """
    every = configs()
    if pattern is None:
        return every
    wild = pattern if any(c in pattern for c in '*?[') else f'*{pattern}*'
    found = [entry for entry in every if fnmatch.fnmatchcase(entry['name'], wild)]
    if not found:
        bare = re.sub(r'[*?[\]]', '', pattern)
        raise ValueError(f"no shipped config matches '{pattern}'{_nearest(bare, every)}")
    return found


def _nearest(name: str, entries: List[Dict]) -> str:
    near = difflib.get_close_matches(name, [e['name'] for e in entries], n=3, cutoff=0.3)
    return f'; did you mean {" or ".join(near)}?' if near else ''


def find(name: str) -> Path:
    """The config file of a path or a name.

    Args:
        name (str): A path, the name of a shipped config, with or without
            ``.py``, or ``photos/METHOD`` for a method's recipe for people's
            own images with its smallest network.

    Returns:
        Path: An existing file.

    Raises:
        ValueError: If there is none; names the nearest ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = {entry['name']: entry['path'] for entry in configs()}
    stem = path.name[:-3] if path.name.endswith('.py') else path.name
    if stem in shipped and path.name == name:
        return Path(shipped[stem])
    if name.startswith('photos/'):  # the smallest network of a method's photo recipes
        stem = path.name
        for small in ('resnet18', 'vit-t16'):
            for base in ('', '_mocov2', '_dino'):
                if f'{stem}{base}_{small}_photos' in shipped:
                    return Path(shipped[f'{stem}{base}_{small}_photos'])
        methods = {re.sub(NETWORK, '', n) for n in shipped if re.search(NETWORK, n)}
        hint = nearest(name, {f'photos/{m}' for m in methods})
    else:
        hint = _nearest(stem, configs())
    raise ValueError(
        f"no config '{name}', neither a file nor a shipped name"
        f'{hint} (`python -m mssl_plugins list` shows all)'
    )
