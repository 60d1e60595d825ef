"""The quick start's own process: baselines, training, summary, next commands."""

import json
import re
import shlex
from pathlib import Path

from mssl_plugins.commands.main import main
from mssl_plugins.report.page import number

ROOT = Path(__file__).resolve().parents[2]
SMALL = f"""
_base_ = r'{ROOT}/configs/mixmask/simclr_resnet18_1xb64-coslr-8e_scenes.py'
train_dataloader = dict(
    batch_size=16, num_workers=0, persistent_workers=False, dataset=dict(length=48))
default_hooks = dict(knn=dict(
    bank=dict(num_workers=0, persistent_workers=False, dataset=dict(length=60)),
    test=dict(num_workers=0, persistent_workers=False, dataset=dict(length=40))))
"""


def test_summary_says_what_was_measured(tmp_path, run_python):
    config, work = tmp_path / 'small.py', tmp_path / 'a run'
    config.write_text(SMALL)
    work.mkdir()
    (work / 'summary.json').write_text('of an earlier run')
    argv = ('--config', config, '--epochs', 2, '--work-dir', work)
    done = run_python('-m', 'mssl_plugins', 'quickstart', *argv, fresh=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stderr  # nothing of the dependencies
    assert done.stdout.startswith('k-NN on raw pixels')
    summary = json.loads((work / 'summary.json').read_text())
    assert set(summary) == {
        'knn_raw_pixels',
        'knn_random_init',
        'knn_trained',
        'seconds',
        'checkpoint',
        'config',
    }
    checkpoint = Path(summary['checkpoint'])
    assert checkpoint.name == 'epoch_2.pth' and checkpoint.is_file() and summary['seconds'] > 0
    assert done.stdout.count('epoch 2/2') == 1
    page = (work / 'report.html').read_text()
    assert f'Open {work.name}/report.html in a browser' in done.stdout.replace(str(tmp_path), '')
    assert str(number(summary['knn_raw_pixels'])) in page and len(page) < 3_000_000
    assert 'train photos/simclr --data' in done.stdout
    shown = dict(
        re.findall(
            r'^  (raw pixels|random initialization|trained) +(\d\.\d{3})$', done.stdout, re.M
        )
    )
    assert [float(v) for v in shown.values()] == [
        round(summary[f'knn_{key}'], 3) for key in ('raw_pixels', 'random_init', 'trained')
    ]
    # the same by the command that it offers next
    offered = next(line for line in done.stdout.splitlines() if ' knn ' in line).split('knn ', 1)[1]
    [offered] = shlex.split(offered)
    assert (tmp_path / offered).samefile(checkpoint)
    settings = ['--k', 20, '--temperature', 0.1, '--json', tmp_path / 'knn.json']
    baseline = ('pixels', '--config', config)
    for weights, key in (((checkpoint,), 'knn_trained'), (baseline, 'knn_raw_pixels')):
        assert main(['knn', *map(str, [*weights, *settings])]) == 0
        found = json.loads((tmp_path / 'knn.json').read_text())
        assert abs(found['top1']['20'] - summary[key]) < 1e-4, (key, found)


def test_mistake_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['quickstart', '--config', 'simclr_resnet18_scene']) == 1
    said = capsys.readouterr().err
    assert 'did you mean simclr_resnet18_' in said
    assert 'simclr_resnet18_1xb64-coslr-8e_scenes' in said
    assert said.count('\n') == 1 and not list(tmp_path.iterdir())
