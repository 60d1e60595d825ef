"""The site: ``python -m sphinx -W docs OUT``.

Pages of other folders (READMEs of methods and benchmarks, CONTRIBUTING.md, CHANGELOG.md) are
included, not copied: their links are led to the site's pages here.  Two blocks are filled in from
the code: ``{api} MODULE`` with the public names of a module, ``{catalogue} FOLDER`` with the
configs of a folder.
"""

import inspect
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import List, NamedTuple

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

import mssl_plugins  # noqa: E402
from mssl_plugins import catalogue  # noqa: E402

project = 'mssl_plugins'
author = 'mssl_plugins contributors'
copyright = author
version = release = mssl_plugins.__version__
language = 'en'

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'sphinx_design',
]
exclude_patterns = ['_build', 'benchmarks-notes.md', 'evidence', '**.ipynb_checkpoints']
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 4
suppress_warnings = ['myst.header']  # an included page begins with its own levels

# The notebook runs while the site is built; a build without it: MSSL_DOCS_RUN=0.
nb_execution_mode = 'force' if os.environ.get('MSSL_DOCS_RUN', '1') == '1' else 'off'
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_default_options = {'members': True, 'member-order': 'bysource', 'show-inheritance': True}
autodoc_typehints = 'none'  # the docstrings say them
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_exclude = '.linenos, .gp, .go'

html_theme = 'furo'
html_title = 'mssl_plugins'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False
html_theme_options = {'top_of_page_buttons': []}
pygments_style = 'friendly'
pygments_dark_style = 'github-dark'


class Field(NamedTuple):
    """Shows what type the fields of named tuples have."""

    of: int


#: pages of the site that stand elsewhere in the tree
PLACES = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    **{
        f'configs/{name}/README.md': f'methods/{name}.md'
        for name in ('asl', 'dino', 'ibot', 'mae', 'mask_guided', 'maskco', 'mixmask', 'mst')
    },
    **{
        f'configs/benchmarks/{name}/README.md': f'dense/{name}.md'
        for name in ('detection', 'segmentation')
    },
    'configs/benchmarks/classification/README.md': 'classification.md',
}
LINK = re.compile(r'(\]\()([^)#\s]+)((?:#[^)\s]*)?\))')


def place(target: str, folder: Path) -> str:
    """Where a link of a page in ``folder`` leads on the site: an absolute path below ``docs/``."""
    if re.match(r'[a-z]+:', target) or target.startswith('/'):
        return target
    path = (folder / target).resolve()
    inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ''
    if inside in PLACES:
        return f'/{PLACES[inside]}'
    return f'/{os.path.relpath(path, DOCS)}' if path.exists() else target


def lead(text: str, folder: Path) -> str:
    """A page's text with its links led to the site's pages; code blocks stay."""
    parts = re.split(r'(^```.*?^```)', text, flags=re.S | re.M)
    parts[::2] = [
        LINK.sub(lambda m: m[1] + place(m[2], folder) + m[3], part) for part in parts[::2]
    ]
    return ''.join(parts)


def public_names(name: str) -> List[str]:
    """The names of a module's ``__all__``, else the public ones that are defined in it."""
    module = import_module(name)
    if hasattr(module, '__all__'):
        return [n for n in module.__all__ if not n.startswith('_')]
    return [
        n
        for n, value in vars(module).items()
        if not n.startswith('_')
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    ]


def api(name: str) -> str:
    """Table and entries of a module's public names."""
    module, data = import_module(name), []
    names = public_names(name)
    for n in list(names):
        if isinstance(getattr(module, n), dict):  # a table: its keys say what there is
            names.remove(n)
            keys = ', '.join(f'``{key}``' for key in getattr(module, n))
            data += [f'.. py:data:: {n}', '', f'   {keys}.', '']
    lines = [
        '```{eval-rst}',
        f'.. currentmodule:: {name}',
        '',
        '.. autosummary::',
        '   :nosignatures:',
        '',
    ]
    lines += [f'   {n}' for n in names]
    lines += ['', *data, f'.. automodule:: {name}', f'   :members: {", ".join(names)}', '```']
    return '\n'.join(lines)


def configs(folder: str) -> str:
    """A table of the configs in a folder of ``configs/``."""
    rows = ['| config | data | epochs | what it costs |', '| --- | --- | --- | --- |']
    for entry in catalogue.configs():
        if Path(entry['path']).parent.name != folder:
            continue
        cells = [f'`{entry["name"]}`', *(entry[key] for key in ('data', 'epochs', 'cost'))]
        rows.append('| ' + ' | '.join('' if c is None else str(c) for c in cells) + ' |')
    return '\n'.join(rows)


def fill(app, docname: str, source: List[str]) -> None:
    """Leads the links of a page and fills its blocks in."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == '.md':
        text = lead(source[0], path.parent)
        text = re.sub(r'^```\{api\} (\S+)\n```$', lambda m: api(m[1]), text, flags=re.M)
        source[0] = re.sub(
            r'^```\{catalogue\} (\S+)\n```$', lambda m: configs(m[1]), text, flags=re.M
        )


def fill_included(app, relative: Path, parent: str, source: List[str]) -> None:
    """The same for an included page."""
    source[0] = lead(source[0], (DOCS / relative).resolve().parent)


def skip_fields(app, what: str, name: str, obj, skip: bool, options) -> bool:
    """Leaves out the fields of a named tuple: its docstring says what they are."""
    return skip or isinstance(obj, type(Field.of))


def setup(app) -> None:
    """Connects them."""
    app.connect('autodoc-skip-member', skip_fields)
    app.connect('source-read', fill)
    app.connect('include-read', fill_included)
