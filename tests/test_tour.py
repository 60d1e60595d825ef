"""The notebook runs from the first cell to the last, and shows what it says."""

import re

import pytest

from helpers.paths import ROOT

nbformat = pytest.importorskip('nbformat', reason='needs the extra [docs]')
pytest.importorskip('nbclient', reason='needs the extra [docs]')
pytest.importorskip('ipykernel', reason='needs the extra [docs]')


@pytest.fixture(scope='module')
def tour(tmp_path_factory):
    """The cells' outputs as text, and the kinds of what they show."""
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp('tour')
    notebook = nbformat.read(ROOT / 'docs/tour.ipynb', as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(ROOT))
        patch.setenv('OMP_NUM_THREADS', '1')
        patch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')
        resources = dict(metadata=dict(path=str(folder)))
        NotebookClient(notebook, timeout=600, resources=resources).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
    return cells, [path.name for path in folder.iterdir()]


def text_of(cell) -> str:
    return ''.join(
        out.get('text', '') + out.get('data', {}).get('text/plain', '') for out in cell.outputs
    )


def test_it_says_what_it_shows(tour):
    cells, left = tour
    every = '\n'.join(map(text_of, cells))
    first, second = map(float, re.findall(r'step \d: loss ([\d.]+)', every))
    assert 0 < second < first  # the same batch again
    assert "('epoch_4.pth', 'report.html')" in every
    before, after = map(
        float, re.search(r'random weights ([\d.]+), trained ([\d.]+)', every).groups()
    )
    assert 0.05 < before < 0.25 and after > 0.1
    assert left == []  # nothing beside the notebook


def test_it_draws_two_figures(tour):
    cells, _ = tour
    shown = [out for cell in cells for out in cell.outputs if 'image/png' in out.get('data', {})]
    assert len(shown) == 2


def test_nothing_is_said_on_stderr(tour):
    """A warning in the first thing a reader runs is one too many."""
    cells, _ = tour
    said = [out.text for cell in cells for out in cell.outputs if out.get('name') == 'stderr']
    assert not said, said
