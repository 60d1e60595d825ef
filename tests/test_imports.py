"""Imports run downwards: no circle, no arrow to a higher level, no test that imports a test."""

import ast
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set

import pytest

from helpers.paths import ROOT

PACKAGE = 'mssl_plugins'
# The levels, lowest first (docs/design.md shows the same table). A module may
# import from its own level and from those below; the longest name counts, and
# a package's own __init__ stands on the level of its highest part.
LEVELS = [
    ['mssl_plugins', 'errors', 'mmpretrain_models', 'registry', 'signatures'],
    ['catalogue', 'files', 'deprived', 'distributed', 'work_dir'],
    ['config', 'config_check', 'config_errors', 'config_tree'],
    ['channels', 'checkpoints', 'recipe_fit', 'recipes'],
    ['datasets'],
    ['datasets.transforms'],
    ['preflight', 'segments', 'models.layers', 'models.losses', 'models'],
    ['models.backbones', 'models.heads', 'models.necks', 'models.readout'],
    ['models.selfsup', 'models.probe', 'models.__init__'],
    ['evaluation'],
    ['report', 'visualization'],
    ['console', 'engine'],
    ['pack', 'photos', 'export'],
    ['run_config'],
    ['training'],
    ['api'],
    ['commands', '__main__'],
]
# Modules that may import inside functions, and what. Circles and levels are
# looked for there all the same.
# A command line is read before what takes seconds is imported, so that help and a
# wrong option are answered at once.
HEAVY = {PACKAGE, 'torch', 'numpy', 'mmengine', 'mmpretrain', 'cv2', 'matplotlib'}
LATE = {
    # the Python API lists configs without them
    'api': HEAVY,
    **{
        f'commands.{name}': HEAVY
        for name in (
            'channel_statistics',
            'evaluate',
            'export',
            'extract',
            'knn',
            'make_segments',
            'make_subset',
            'options',
            'pack',
            'quickstart',
            'report',
            'test',
            'train',
        )
    },
    'config_check': {PACKAGE},  # networks, which other configs are read without
    'visualization': {'matplotlib'},  # for text and curves alone
    'visualization.embedding': {'sklearn', 'umap'},  # seconds, and optional
    # the compiler, seconds for those who use it alone
    'engine.hooks.compile_hook': {'torch'},
    'evaluation.svm': {'sklearn'},  # a second
    # optional packages
    'datasets.tables': {'pyarrow'},
    'datasets.lmdb_shard': {'lmdb'},
    'pack': {'pyarrow', 'lmdb'},
    'datasets.dense_layouts': {'pycocotools'},
    'report.plots': {'matplotlib'},  # at the end of a run
    'segments.generators': {'pycocotools', 'skimage'},  # where segments are made alone
    'segments.sam': {'segment_anything', 'onnxruntime'},
    # for the glyphs of made scenes alone, in every process of a loader
    'datasets.scene_sources': {'matplotlib'},
}


class Arrow(NamedTuple):
    """An import of one module of the package by another."""

    source: str
    target: str
    line: int
    late: bool  # inside a function

    def __str__(self) -> str:
        return f'{FILES[self.source].relative_to(ROOT)}:{self.line} imports {self.target}'


def modules() -> Dict[str, Path]:
    """Dotted names of the package's modules; a package's own is ``name.__init__``."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob('*.py')):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix('').parts
        found['.'.join(parts)] = path
    found[PACKAGE] = found.pop('__init__')
    return found


FILES = modules()


def resolve(module: str, name: str = '') -> str:
    """The module of the package that an import reaches."""
    short = module[len(PACKAGE) + 1 :]
    for full in ((f'{short}.{name}' if short else name), short):
        for candidate in (full, f'{full}.__init__'):
            if full and candidate in FILES:
                return candidate
    return PACKAGE


def imports(path: Path) -> Iterator[tuple]:
    """(module, name, line, inside a function) of every import in a file."""
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for f in ast.walk(tree)
        if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield (
                    '.' * node.level + (node.module or ''),
                    alias.name,
                    node.lineno,
                    id(node) in inner,
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, '', node.lineno, id(node) in inner


@lru_cache(maxsize=None)
def arrows() -> List[Arrow]:
    """Every import inside the package."""
    found = []
    for source, path in FILES.items():
        for module, name, line, late in imports(path):
            if module.split('.')[0] == PACKAGE:
                target = resolve(module, name)
                if target != source:
                    found.append(Arrow(source, target, line, late))
    return found


def level_of(module: str) -> int:
    """Index in LEVELS."""
    parts = module.split('.')
    for end in range(len(parts), 0, -1):
        name = '.'.join(parts[:end])
        for index, level in enumerate(LEVELS):
            if name in level:
                return index
    raise LookupError(f'{module} stands on no level: add it to LEVELS and docs/design.md')


def circle(edges: Dict[str, Set[str]]) -> List[str]:
    """One circle of a graph, or nothing."""
    done: Set[str] = set()

    def walk(node, path):
        if node in path:
            return path[path.index(node) :] + [node]
        if node in done:
            return []
        for following in sorted(edges.get(node, ())):
            found = walk(following, path + [node])
            if found:
                return found
        done.add(node)
        return []

    for start in sorted(edges):
        found = walk(start, [])
        if found:
            return found
    return []


def test_relative_imports_are_not_used():
    relative = [
        str(path)
        for path in FILES.values()
        for module, *_ in imports(path)
        if module.startswith('.')
    ]
    assert not relative


def test_no_circle_between_files():
    edges: Dict[str, Set[str]] = {}
    for arrow in arrows():
        edges.setdefault(arrow.source, set()).add(arrow.target)
    found = circle(edges)
    assert not found, ' -> '.join(str(FILES[name].relative_to(ROOT)) for name in found)


def test_no_circle_between_packages():
    edges: Dict[str, Set[str]] = {}
    for arrow in arrows():
        ends = [end.split('.')[0] for end in arrow[:2]]
        if ends[0] != ends[1]:
            edges.setdefault(ends[0], set()).add(ends[1])
    assert not circle(edges), ' -> '.join(circle(edges))


def test_no_circle_between_a_package_and_its_parts():
    """Of folders; an ``__init__`` may name what its parts have."""
    edges: Dict[str, Set[str]] = {}
    for arrow in arrows():
        files = [FILES[module] for module in arrow[:2]]
        folders = [file.parent.relative_to(ROOT / PACKAGE).as_posix() for file in files]
        if '.' not in folders and folders[0] != folders[1] and files[0].stem != '__init__':
            edges.setdefault(folders[0], set()).add(folders[1])
    assert len(edges) > 10 and not circle(edges), ' -> '.join(circle(edges))


def test_imports_run_downwards():
    upward = [
        f'{arrow} (level {level_of(arrow.source)}, {level_of(arrow.target)})'
        for arrow in arrows()
        if level_of(arrow.source) < level_of(arrow.target)
    ]
    assert not upward, '\n'.join(upward)


def test_imports_inside_functions_have_a_reason():
    """Ours and others'; and no reason outlives its import."""
    late, used = [], {}
    for source, path in FILES.items():
        key = source if source in LATE else source.split('.')[0]
        for module, _, line, inside in imports(path):
            top = module.split('.')[0]
            if inside and top not in LATE.get(key, ()):
                late.append(f'{path.relative_to(ROOT)}:{line} imports {module}')
            elif inside:
                used.setdefault(key, set()).add(top)
    assert not late, '\n'.join(late)
    assert set(used) == set(LATE)
    assert all(used[key] == LATE[key] for key in LATE if LATE[key] is not HEAVY)


def test_no_test_imports_a_test():
    found = []
    for path in sorted((ROOT / 'tests').rglob('*.py')):
        for module, name, line, _ in imports(path):
            last = {
                part
                for part in (*module.split('.'), name)
                if part.startswith('test_') and list((ROOT / 'tests').rglob(f'{part}.py'))
            }
            if last or module == 'conftest':
                found.append(f'{path.relative_to(ROOT)}:{line} imports {module}')
    assert not found, '\n'.join(found)


def test_the_page_shows_the_levels():
    page = (ROOT / 'docs/design.md').read_text()
    rows = [line for line in page.splitlines() if line.startswith('| ') and '`' in line]
    shown = [
        [name.strip('` ') for name in row.split('|')[2].split(',')]
        for row in rows
        if row.split('|')[1].strip().isdigit()
    ]
    assert shown == LEVELS


def test_the_walk_sees_what_it_looks_for(tmp_path):
    """A circle, an upward arrow and an import inside a function are found."""
    assert circle(dict(a={'b'}, b={'c'}, c={'a'})) == ['a', 'b', 'c', 'a']
    assert not circle(dict(a={'b', 'c'}, b={'c'}))
    file = tmp_path / 'file.py'
    file.write_text('import os.path\ndef f():\n    from mssl_plugins import errors\n')
    assert list(imports(file)) == [('os.path', '', 1, False), (PACKAGE, 'errors', 3, True)]
    assert level_of('commands.train') > level_of('evaluation.knn') > level_of('errors')
    assert (
        resolve(PACKAGE, 'errors') == 'errors' and resolve(PACKAGE + '.models') == 'models.__init__'
    )


STATUSES = """
import sys
from mssl_plugins.commands.main import COMMANDS, main
from mssl_plugins.visualization import FIGURES

for argv, status in {lines}:
    try:
        found = main(argv)
    except SystemExit as left:  # of a parser
        found = left.code
    heavy = {{'torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'matplotlib'}} & set(sys.modules)
    if heavy or found != status:
        sys.exit(f'{{argv}}: status {{found}}, loads {{sorted(heavy)}}')
"""


@pytest.mark.parametrize(
    'lines',
    [
        "[([word], 0) for word in ('list', '--help', '--version')]",
        "[([command, '--help'], 0) for command in COMMANDS]",
        "[(['visualize', figure, '--help'], 0) for figure in FIGURES]",
        "[([command, '--no-such-option'], 2) for command in COMMANDS]",
    ],
    ids=('list', 'help', 'figures', 'mistakes'),
)
def test_the_command_line_starts_without_torch(lines):
    """What is loaded decides how long it takes (0.1 s), on any machine."""
    code = STATUSES.format(lines=lines)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
