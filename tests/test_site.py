"""The site is built without a warning, its links lead somewhere, its pages say things once."""

import ast
import html
import json
import os
import pickle
import re
import zlib
from collections import defaultdict
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import pytest

from helpers.forked import run_script
from helpers.paths import ROOT

pytest.importorskip('sphinx', reason='needs the extra [docs]')
DOCS = ROOT / 'docs'
WORDS = 25


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The built site. The notebook is run by tests/test_tour.py, not here."""
    folder = tmp_path_factory.mktemp('site')
    done = run_script(
        ['-m', 'sphinx', '-q', '-W', '--keep-going']
        + ['-d', str(folder / 'doctrees'), str(DOCS), str(folder / 'html')],
        folder,
        {**os.environ, 'PYTHONPATH': str(ROOT), 'MSSL_DOCS_RUN': '0'},
        600,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


class Page(HTMLParser):
    """Links, anchors and what is loaded of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.anchors, self.loaded = [], set(), []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ('id', 'name') if attrs.get(key)}
        if tag == 'a' and attrs.get('href') is not None:
            self.links.append(attrs['href'])
        elif tag in ('img', 'script') and attrs.get('src'):
            self.loaded.append(attrs['src'])
        elif tag == 'link' and attrs.get('href'):
            self.loaded.append(attrs['href'])


def outside(target: str) -> bool:
    return bool(re.match(r'[a-z]+:|//|#$', target))


def test_every_link_of_the_site_leads_somewhere(site):
    pages = {path: Page(path) for path in (site / 'html').rglob('*.html')}
    assert len(pages) > 35
    broken = []
    for path, page in pages.items():
        for target in page.links + page.loaded:
            if outside(target):
                continue
            name, _, anchor = target.partition('#')
            file = (path.parent / unquote(name.split('?')[0])).resolve() if name else path
            file = file / 'index.html' if file.is_dir() else file
            if not file.is_file():
                broken.append(f'{path.name}: {target}')
            elif anchor and file in pages and unquote(anchor) not in pages[file].anchors:
                broken.append(f'{path.name}: {target}, no such anchor')
    assert not broken, '\n'.join(broken)


def test_nothing_is_loaded_from_elsewhere(site):
    for path in (site / 'html').rglob('*.html'):
        assert not [t for t in Page(path).loaded if outside(t) and t != '#'], path


def test_links_into_the_tree_are_pages_of_the_site(site):
    """What stands on the site is not linked to as a file to download."""
    loads = [p.name for p in (site / 'html/_downloads').rglob('*') if p.is_file()]
    assert not [name for name in loads if name.endswith('.md')], loads


def paragraphs(site):
    """(page, text) of every paragraph of more than WORDS words that stands outside a table."""
    from docutils import nodes

    for path in (site / 'doctrees').rglob('*.doctree'):
        tree = pickle.loads(path.read_bytes())
        for node in tree.findall(nodes.paragraph):
            parent = node.parent
            while parent is not None and not isinstance(parent, nodes.entry):
                parent = parent.parent
            text = ' '.join(node.astext().split())
            if parent is None and len(text.split()) > WORDS:
                yield path.relative_to(site / 'doctrees').with_suffix('').as_posix(), text


def test_nothing_stands_on_two_pages(site):
    seen = defaultdict(set)
    for page, text in paragraphs(site):
        seen[text].add(page)
    assert len(seen) > 200
    twice = [f'{sorted(pages)}: {text}' for text, pages in seen.items() if len(pages) > 1]
    assert not twice, '\n'.join(twice)


def inventory(site):
    """Names with an entry on the site, and where."""
    data = (site / 'html/objects.inv').read_bytes().split(b'\n', 4)[4]
    lines = zlib.decompress(data).decode().splitlines()
    return {line.split()[0] for line in lines if ' py:' in line}


def public():
    """The modules with a public ``__all__``."""
    for path in sorted((ROOT / 'mssl_plugins').rglob('*.py')):
        if re.search(r'^__all__ =', path.read_text(), re.M):
            parts = path.relative_to(ROOT).with_suffix('').parts
            yield '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def test_every_public_name_has_an_entry(site):
    entries = inventory(site)
    modules = list(public())
    assert len(modules) > 8
    absent = [
        f'{module}.{name}'
        for module in modules
        for name in import_module(module).__all__
        if f'{module}.{name}' not in entries
    ]
    assert not absent, absent


def test_every_registered_class_has_an_entry(site):
    from mmengine.registry import Registry

    from mssl_plugins import registry

    entries = {name.split('.')[-1] for name in inventory(site)}
    absent = set()
    for value in vars(registry).values():
        if isinstance(value, Registry) and value.scope == 'mssl_plugins':
            value.import_from_location()
            absent |= {
                built.__name__
                for built in value.module_dict.values()
                if built.__module__.startswith('mssl_plugins.')
            } - entries
    assert not absent, absent


def test_every_shipped_config_of_a_method_is_on_its_page(site):
    from mssl_plugins import catalogue

    pages = {p.stem: p.read_text() for p in (site / 'html/methods').glob('*.html')}
    for entry in catalogue.configs():
        folder = Path(entry['path']).parent.name
        if folder in pages:
            assert html.escape(entry['name']) in pages[folder], entry['name']


def test_the_notebook_is_kept_without_outputs():
    notebook = json.loads((DOCS / 'tour.ipynb').read_text())
    for cell in notebook['cells']:
        if cell['cell_type'] == 'code':
            assert cell['outputs'] == [] and cell['execution_count'] is None


def template(node) -> str:
    """A message in the code with a gap, …, for each part that is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return '…'


def messages(path: Path):
    """What a module's errors say, and what its functions put together for them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Return) and node.value is not None:
            yield template(node.value)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, 'id', getattr(node.func, 'attr', ''))
            if name.endswith(('Error', 'Stopped', 'NoRun', '_message')):
                yield from map(template, node.args)


def squeezed(text: str) -> str:
    return re.sub(r'(… ?)+', '…', ' '.join(text.split()).replace('` ', '`'))


def quoted():
    """The messages on the page."""
    page = (DOCS / 'trouble-shooting.md').read_text()
    page = page.split('## No message')[0].split('## Start and options')[1]
    rows = re.findall(r'^\| (`.+?`) \| ', page.replace('\\`', '\x00'), re.M)
    return [row.strip('`').replace('\x00', '`') for row in rows]


def test_every_message_on_the_page_stands_in_the_code():
    every = [
        squeezed(text) for path in (ROOT / 'mssl_plugins').rglob('*.py') for text in messages(path)
    ]
    rows = quoted()
    assert len(rows) > 90
    absent = [row for row in rows if not any(squeezed(row) in text for text in every)]
    assert not absent, '\n'.join(absent)


@pytest.mark.parametrize(
    'module',
    ['config', 'config_check', 'run_config', 'preflight', 'recipes', 'photos', 'training']
    + [
        'work_dir',
        'catalogue',
        'distributed',
        'recipe_fit',
        'datasets/class_check',
        'segments/transform',
        'checkpoints/reader',
    ]
    + ['checkpoints/loading', 'checkpoints/architecture', 'checkpoints/naming'],
)
def test_every_message_of_the_start_is_on_the_page(module):
    """Of the modules that a user meets first."""
    rows = [squeezed(row) for row in quoted()]
    path = ROOT / f'mssl_plugins/{module}.py'
    absent = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        name = getattr(node.exc.func, 'id', getattr(node.exc.func, 'attr', ''))
        if not name.endswith('Error') or name == 'UnpicklingError' or not node.exc.args:
            continue
        said = squeezed(template(node.exc.args[name == 'ConfigError']))
        plain = re.sub(r'[…:,. ()]', '', said)
        if plain and not any(row in said for row in rows):
            absent.append(f'line {node.lineno}: {said}')
    assert not absent, '\n'.join(absent)
