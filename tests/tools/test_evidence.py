"""The evidence tool: real runs of a tiny study, kept as they finish."""
import json
import re
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.tools import tool

TINY = '''
_base_ = '{root}/configs/mixmask/{arm}_resnet18_scenes.py'
model = dict(backbone=dict(depth=18, stem_channels=8, base_channels=8), neck=dict(in_channels=64, hid_channels=16))
train_cfg = dict(max_epochs=1)
train_dataloader = dict(batch_size=16, num_workers=0, persistent_workers=False, dataset=dict(length=32))
default_hooks = dict(knn=dict(bank=dict(dataset=dict(length=64)), test=dict(dataset=dict(length=32))))
'''
STUDY = '''
title, question = 'Tiny', 'Does it run?'
metric, metric_name = 'knn/top1_k20', 'k-NN'
sizes = dict(cpu='a few scenes')
configs = dict(cpu='{folder}/{{arm}}.py')
arms = ['simclr', 'mixmask_simclr']
claims = [('mixmask_simclr', 'simclr', 'Fig. 1')]
'''


@pytest.fixture
def study(tmp_path, monkeypatch):
    for arm in ('simclr', 'mixmask_simclr'):
        (tmp_path / f'{arm}.py').write_text(TINY.format(root=ROOT, arm=arm))
    (tmp_path / 'tiny.py').write_text(STUDY.format(folder=tmp_path))
    module = tool('evidence')
    monkeypatch.setattr(module, 'STUDIES', dict(tiny=tmp_path / 'tiny.py'))
    monkeypatch.setattr(module, 'RESULTS', tmp_path / 'results')
    monkeypatch.setattr(module, 'PAGE', tmp_path / 'evidence.md')
    monkeypatch.setattr(module, 'ROOT', ROOT)
    return module


def test_arms_are_kept_and_a_second_call_goes_on(study, tmp_path, capsys):
    study.PAGE = tmp_path / 'evidence.md'
    work = ['--work-dir', str(tmp_path / 'work')]
    study.main(['tiny', '--arms', 'simclr', '--seeds', '0', *work])
    results = tmp_path / 'results/tiny-cpu.json'
    first = json.loads(results.read_text())
    assert [(r['arm'], r['seed']) for r in first] == [('simclr', 0)]
    assert 0 <= first[0]['knn/top1_k20'] <= 1 and first[0]['seconds'] > 0 and 'cores' in first[0]['machine']
    capsys.readouterr()
    study.main(['tiny', '--seeds', '0', '--workers', '2', *work])
    assert 'mixmask_simclr, seed 0 ...' in (shown := capsys.readouterr().out) and '\nsimclr, seed 0' not in shown
    records = json.loads(results.read_text())
    assert records[0] == first[0] and len(records) == 2
    page = (tmp_path / 'evidence.md').read_text()
    assert '| simclr |' in page and 'python tools/evidence.py tiny --size cpu' in page
    difference = 100 * (records[1]['knn/top1_k20'] - records[0]['knn/top1_k20'])
    assert f'{difference:+.1f}; mean {difference:+.1f}' in page and '(one seed)' in page


def test_verdicts_report_the_wrong_sign(study, tmp_path):
    def record(arm, seed, value):
        return {'arm': arm, 'seed': seed, 'knn/top1_k20': value, 'seconds': 1., 'machine': 'm'}

    from mmengine.config import Config
    cfg = Config.fromfile(tmp_path / 'tiny.py')
    worse = [record('simclr', s, .50 + s / 1000) for s in range(3)] + [
        record('mixmask_simclr', s, .40 + s / 900) for s in range(3)]
    assert '**no**' in '\n'.join(study.section('tiny', cfg, 'cpu', worse))
    noise = [record('simclr', s, .5) for s in range(3)] + [
        record('mixmask_simclr', s, .5 + .03 * (s - 1) + .001) for s in range(3)]
    assert 'within the noise' in '\n'.join(study.section('tiny', cfg, 'cpu', noise))
    better = [record('simclr', s, .5) for s in range(3)] + [record('mixmask_simclr', s, .6 + s / 100) for s in range(3)]
    lines = '\n'.join(study.section('tiny', cfg, 'cpu', better))
    assert '| yes |' in lines and '50.0 ± 0.0' in lines and '61.0 ± 1.0' in lines


@pytest.mark.parametrize('argv, words', [
    (['tinny'], "did you mean 'tiny'"), (['tiny', '--size', 'cpus'], "did you mean 'cpu'"),
    (['tiny', '--arms', 'simclrr'], "did you mean 'simclr'"), (['tiny', '--data', '/nowhere'], 'no such folder')])
def test_mistakes(study, argv, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        study.main(argv)


def test_packed_images_replace_the_named_data(real_data):
    from mmengine.config import Config
    module = tool('evidence')
    packed = real_data('cifar10_train.npz').parent
    cfg = Config.fromfile(ROOT / 'configs/mixmask/simclr_resnet18_cifar10-cpu.py')
    module.use_packed(cfg, packed)
    train = cfg.train_dataloader.dataset
    assert train.type == 'mssl_plugins.PackedImages' and Path(train.ann_file).name == 'cifar10_train.npz'
    assert Path(cfg.default_hooks.knn.test.dataset.ann_file).name == 'cifar10_test.npz'
    assert list(train.indices)[:3] == [0, 10, 20]


def test_shipped_studies_name_shipped_configs():
    from mmengine.config import Config

    from mssl_plugins.catalogue import find
    for name, path in tool('evidence').STUDIES.items():
        study = Config.fromfile(path)
        for size in study.sizes:
            for arm in study.arms:
                find(study.configs[size].format(arm=arm))  # raises, with the nearest names
        assert set(study.get('headline', [])) <= set(study.arms), name
        for better, worse, _ in study.claims:
            assert better in study.arms and worse in study.arms


def test_pages_show_what_was_measured(tmp_path, monkeypatch):
    """docs/evidence.md and the tables copied from it are what the kept results give."""
    module = tool('evidence')
    (tmp_path / 'docs').mkdir()
    monkeypatch.setattr(module, 'PAGE', tmp_path / 'docs/evidence.md')
    pages = ['README.md', *(f'configs/{name}/README.md' for name in module.STUDIES)]
    for page in pages:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        emptied, marks = re.subn('(?<=<!-- evidence -->).*(?=<!-- /evidence -->)', '\n',
                                 (ROOT / page).read_text(), flags=re.DOTALL)
        assert marks == 1, page
        (tmp_path / page).write_text(emptied)
    module.report()
    page = (ROOT / 'docs/evidence.md').read_text()
    assert (tmp_path / 'docs/evidence.md').read_text() == page, 'python tools/evidence.py <study> --report'
    table = page.split('## In short\n\n')[1].split('\n\n')[0]
    assert table.count('\n') > 5 and table in (ROOT / 'README.md').read_text()
    for page in pages:
        shown = (tmp_path / page).read_text()
        assert shown == (ROOT / page).read_text(), 'python tools/evidence.py <study> --report'
        assert re.search(r'<!-- evidence -->\n(.*\n)*\| .* \| .* \|\n\n<!-- /evidence -->', shown), page


@pytest.mark.parametrize('name', sorted(p.stem for p in (ROOT / 'tools/studies').glob('*.py')))
def test_method_pages_show_what_was_measured(name):
    """Each arm's row of docs/evidence.md stands on the method's page."""
    from mmengine.config import Config
    study = Config.fromfile(ROOT / f'tools/studies/{name}.py')
    page = (ROOT / 'docs/evidence.md').read_text().split(f'\n## {study.title}, cpu size\n')[1].split('\n## ')[0]
    rows = [line for line in page.splitlines() if line.startswith('| ') and line.split(' ')[1] in study.arms
            and not line.split(' ')[2] == '>']
    shown = (ROOT / f'configs/{name}/README.md').read_text()
    assert len(rows) == len(study.arms) and f'`python tools/evidence.py {name}`' in shown
    assert '\n'.join(rows) in shown
