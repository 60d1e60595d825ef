"""The habits of the house that a program can check: sizes, and nothing written twice."""

import ast
import re
import tokenize
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Dict, List, Set, Tuple

from helpers.order import LONG
from helpers.paths import ROOT

FILES = sorted((ROOT / 'mssl_plugins').rglob('*.py'))
TOOLS = sorted((ROOT / 'tools').rglob('*.py'))
LINES, BODY, COPY = 400, 80, 6


def test_no_module_is_long():
    sizes = {path: len(path.read_text().splitlines()) for path in FILES + TOOLS}
    assert not [f'{path}: {n} lines' for path, n in sizes.items() if n > LINES]


def test_no_function_is_long():
    """Of its lines those of the docstring do not count, if they say why they are many."""
    long = []
    for path in FILES + TOOLS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0]
                size = node.end_lineno - node.lineno + 1
                if 'Its length is that of' in (ast.get_docstring(node) or ''):
                    size -= first.end_lineno - first.lineno + 1
                if size > BODY:
                    long.append(f'{path}:{node.lineno} {node.name}: {size} lines')
    assert not long, '\n'.join(long)


def logic(path) -> List[Tuple[int, str]]:
    """(line, text) of a file's statements.

    No comments, docstrings, imports, brackets alone, nor the arguments of a definition.
    """
    with open(path, 'rb') as f:
        tokens = list(tokenize.tokenize(f.readline))
    arguments = {
        line
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for line in range(node.lineno, node.body[0].lineno)
    }
    lines: Dict[int, List[str]] = defaultdict(list)
    for before, token in zip(tokens, tokens[1:]):
        text = token.string
        if token.type == tokenize.STRING and before.type in (
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.NL,
            tokenize.ENCODING,
        ):
            continue  # a docstring
        if token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.STRING):
            lines[token.start[0]].append(text)
    kept = []
    for number, parts in sorted(lines.items()):
        if number in arguments or parts[0] in ('import', 'from', '@'):
            continue
        if any(c.isalnum() for c in ''.join(parts)):
            kept.append((number, ' '.join(parts)))
    return kept


def copies(files) -> List[str]:
    """Places of which two have the same COPY lines of logic in a row."""
    seen: Dict[tuple, str] = {}
    found = []
    for path in files:
        lines = logic(path)
        for i in range(len(lines) - COPY + 1):
            block = tuple(text for _, text in lines[i : i + COPY])
            place = f'{path.name}:{lines[i][0]}'
            if block in seen and not seen[block].startswith(f'{path.name}:{lines[i][0]}'):
                found.append(f'{seen[block]} and {place}: {block[0]}')
            seen.setdefault(block, place)
    return found


def test_nothing_is_written_twice():
    found = copies(FILES + TOOLS)
    assert not found, '\n'.join(found)


# Files of tests/ that hold the repository as a whole, or a page, rather than a module.
REPOSITORY = {'docs', 'house', 'imports', 'packaging', 'site'} | {
    page.stem.replace('-', '_') for page in (ROOT / 'docs').glob('[a-z]*.[im]*')
}


def names_for(folder: Path) -> Set[str]:
    """What a test of a folder of ``tests/`` may be named after."""
    if folder.parts[:1] in (('configs',), ('tools',)):
        mirrored, own = ROOT / folder, {folder.name}  # the folder as a whole
    else:
        mirrored = ROOT / 'mssl_plugins' / folder
        own = {folder.name} if folder.parts else REPOSITORY
    inside = {p.stem for p in mirrored.iterdir() if p.suffix == '.py' or p.is_dir()}
    return {n for n in inside if not n.startswith('_')} | own


def strays(tests: Path) -> List[str]:
    """Test files that are named after no module, and folders that mirror none."""
    found = []
    for path in sorted(tests.rglob('*.py')):
        folder = path.parent.relative_to(tests)
        if path.name == 'conftest.py' or folder.parts[:1] == ('helpers',):
            continue
        name = path.stem.removeprefix('test_')
        try:
            names = names_for(folder)
        except FileNotFoundError:
            names = set()
        if name == path.stem or not any(name == n or name.startswith(f'{n}_') for n in names):
            found.append(str(path.relative_to(tests)))
    return found


def test_tests_mirror_the_package():
    """A file is named after the module that it tests: ``test_MODULE.py``, ``test_MODULE_WHAT.py``.

    What concerns a package as a whole is named after the package.
    """
    assert not strays(ROOT / 'tests')
    packages = {path.parent.relative_to(ROOT / 'mssl_plugins') for path in FILES}
    tested = {path.parent.relative_to(ROOT / 'tests') for path in (ROOT / 'tests').rglob('*.py')}
    assert not packages - tested


def test_long_files_that_come_first_are_there():
    names = [path.stem for path in (ROOT / 'tests').rglob('test_*.py')]
    assert len(set(names)) == len(names)  # pytest imports them by these
    assert not set(LONG) - set(names)


def test_a_stray_test_is_found(tmp_path):
    for name in ('test_house.py', 'models/losses/test_dino_loss.py', 'helpers/x.py', 'conftest.py'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert not strays(tmp_path)
    lost = ['evaluation/test_all_of_it.py', 'models/test_dino.py', 'no/test_dino.py', 'tools/x.py']
    for name in lost:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert strays(tmp_path) == lost


def test_a_copy_is_found(tmp_path):
    body = 'def {}(x):\n    """{}"""\n' + ''.join(f'    a{i} = x + {i}  # {{}}\n' for i in range(6))
    for name in ('one', 'two'):
        (tmp_path / f'{name}.py').write_text(body.format(name, *[name] * 7))
    assert len(copies(sorted(tmp_path.glob('*.py')))) == 1


def raised(function: ast.FunctionDef) -> List[str]:
    """What a function raises itself; not what it catches again, nor NotImplementedError."""
    names, left = [], list(function.body)
    while left:
        node = left.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            names.append(ast.unparse(node.exc))
        caught = isinstance(node, ast.Try) and node.handlers
        left += [
            child for child in ast.iter_child_nodes(node) if not (caught and child in node.body)
        ]
    return [name for name in names if name != 'NotImplementedError']


def test_what_a_public_function_raises_is_said():
    """In its docstring, a constructor's in that of the class, or by a reference to another."""
    silent = []

    def look_at(path, body, said=''):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
                look_at(path, node.body, ast.get_docstring(node) or '')
            if not isinstance(node, ast.FunctionDef):
                continue
            text = said if node.name == '__init__' else ast.get_docstring(node) or ''
            private = node.name.startswith('_') and node.name != '__init__'
            if not private and not re.search('Raises:|^See :', text) and raised(node):
                silent.append(f'{path}:{node.lineno} {node.name}: {raised(node)}')

    for path in FILES:
        look_at(path, ast.parse(path.read_text()).body)
    assert not silent, '\n'.join(silent)


def found(name: str) -> bool:
    """Whether a dotted name leads to a module or to something in it."""
    parts = name.split('.')
    for end in range(len(parts), 0, -1):
        try:
            thing = import_module('.'.join(parts[:end]))
        except ImportError:
            continue
        return all((thing := getattr(thing, part, None)) is not None for part in parts[end:])
    return False


def test_what_a_docstring_refers_to_exists():
    """By its full name, or by a name of its module or of one of the module's classes."""
    lost, count = [], 0
    for path in FILES:
        tree = ast.parse(path.read_text())
        module = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
        scopes = [module, *(f'{module}.{n.name}' for n in tree.body if isinstance(n, ast.ClassDef))]
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                continue
            for name in re.findall(
                r':(?:func|class|mod|meth|data|exc):`~?([^`<]+)`', ast.get_docstring(node) or ''
            ):
                count += 1
                if not (found(name) or any(found(f'{scope}.{name}') for scope in scopes)):
                    lost.append(f'{path}: {name}')
    assert count > 200
    assert not lost, '\n'.join(lost)
