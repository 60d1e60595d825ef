"""The pages say what is: model index, links, commands."""
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mssl_plugins import catalogue

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'configs').glob('*/README.md'))]
METAFILES = sorted((ROOT / 'configs').glob('*/metafile.yml'))


def load(path):
    return yaml.safe_load(path.read_text())


def test_model_index_names_every_metafile():
    named = load(ROOT / 'model-index.yml')['Import']
    assert sorted(named) == [str(p.relative_to(ROOT)) for p in METAFILES]


@pytest.mark.parametrize('metafile', METAFILES, ids=lambda p: p.parent.name)
def test_metafile_lists_every_config(metafile):
    data = load(metafile)
    collections = {c['Name'] for c in data['Collections']}
    for collection in data['Collections']:
        assert (ROOT / collection['README']).exists()
        assert collection['Paper']['Title'] and collection['Paper']['URL'].startswith('https://')
    models = data['Models']
    assert {m['In Collection'] for m in models} <= collections
    listed = [m['Config'] for m in models]
    assert sorted(listed) == sorted(
        str(p.relative_to(ROOT)) for p in metafile.parent.glob('*.py'))
    for model in models:
        assert model['Name'] == Path(model['Config']).stem
        entry = Config.fromfile(ROOT / model['Config']).catalogue
        if 'Epochs' in model['Metadata']:
            assert model['Metadata']['Epochs'] == entry.epochs, model['Name']


def test_config_names_are_unique():
    names = [p.name for p in (ROOT / 'configs').rglob('*.py')]
    assert len(names) == len(set(names))  # mim finds a config by its file name


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('[a-z]*/*.py')), ids=lambda p: p.stem)
def test_config_opens_with_what_a_reader_asks(path):
    head = []
    for line in path.read_text().splitlines():
        if not line.startswith('#'):
            break
        head.append(line)
    text = ' '.join(head).lower()
    assert len(head) >= 3 and path.stem in text, 'the header shows its own command'
    depth, cfg = 0, path
    while (base := re.search(r"_base_ = '([^']+)'", cfg.read_text())) and '::' not in base[1]:
        cfg, depth = (cfg.parent / base[1]), depth + 1
    assert depth + ('_base_ = [' in cfg.read_text()) <= 2


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.parent.name)
def test_links_and_paths_exist(page):
    text = page.read_text()
    for target in re.findall(r'\]\(([^)#]+)\)', text):
        if '://' not in target:
            assert (page.parent / target).exists(), target


def commands():
    for page in PAGES:
        for block in re.findall(r'```(?:bash|shell)\n(.*?)```', page.read_text(), re.S):
            for line in block.replace('\\\n', ' ').splitlines():
                line = line.split(' #')[0].strip()
                if line and not line.startswith('#'):
                    yield pytest.param(page, line, id=f'{page.parent.name}: {line[:60]}')


PARSED = ('tools/train.py', 'tools/knn.py', 'tools/extract.py', 'tools/visualize.py', 'tools/evidence.py',
          'tools/benchmark.py', 'tools/evaluate.py', 'tools/export.py', 'tools/make_segments.py')


@pytest.mark.parametrize('page, line', commands())
def test_commands_of_the_pages_are_valid(page, line):
    """Files, configs and options of a shown command exist; the tour runs below."""
    words = shlex.split(line)
    options = [w.split('=')[0] for w in words if w.startswith('--')]
    for word in words:
        if re.match(r'(tools|configs)/[\w./-]+\.(py|sh)$', word):
            assert (ROOT / word).exists(), word
    script = next((w for w in words if w in PARSED), None)
    if 'mssl_plugins' in words and 'train' in words:
        assert catalogue.find(words[words.index('train') + 1])
        script = 'tools/train.py'
    if script:
        source = (ROOT / script).read_text() + (ROOT / 'mssl_plugins/launch.py').read_text()
        for parser in ('evaluation/inputs.py', 'datasets/make_segments.py'):
            source += (ROOT / 'mssl_plugins' / parser).read_text()
        source += ''.join(p.read_text() for p in (ROOT / 'mssl_plugins/visualization').glob('*.py'))
        for option in options:
            assert f"'{option}'" in source or option in ('--nproc_per_node', ), (option, line)


def test_the_tour_runs(tmp_path):
    """The README's thirty seconds, with the training cut short."""
    block = re.search(r'## Thirty seconds\n\n```bash\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)[1]
    small = ('--cfg-options train_cfg.max_epochs=1 train_dataloader.dataset.length=128 '
             'default_hooks.knn.bank.dataset.length=200 default_hooks.knn.test.dataset.length=50')
    for line in block.strip().splitlines():
        if line.startswith('. '):
            continue  # the environment is this one
        line = line.replace('work_dirs/tour', str(tmp_path)).replace('python ', f'{shlex.quote(sys.executable)} ', 1)
        if ' train ' in line:
            line += ' ' + small
        if 'tools/knn.py' in line:
            line = line.replace('epoch_7.pth', 'epoch_1.pth')
        done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, line + done.stdout[-1000:] + done.stderr[-2000:]
    assert (tmp_path / 'mixmask.png').exists() and (tmp_path / 'views.png').exists()
