"""The evidence tool: real runs of a tiny study in pieces, the queue behind the gate, the page."""

import json
import signal
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
from evidence_tool import (
    claims,
    command,
    configs,
    frozen_dense,
    kept,
    measure,
    pieces,
    queue,
    report,
    runner,
)
from evidence_tool import study as studies
from evidence_tool.kept import Kept, Task, kept_figures, pack, unpack
from evidence_tool.statistics import percent
from mssl_plugins.evaluation.features import make_loader

TINY = """
_base_ = '{root}/configs/mixmask/simclr_resnet18_1xb64-coslr-8e_scenes.py'
model = dict(backbone=dict(depth=18, stem_channels=8, base_channels=8),
             neck=dict(in_channels=64, hid_channels=16))
"""
STUDY = """
from evidence_tool.configs import schedule
from evidence_tool.study import Claim, Figure, Length, Step, Study, Variant

def prepare(cfg, length, stretch, rate):
    cfg.train_dataloader.update(batch_size=8)
    cfg.train_dataloader.dataset.length = length.images
    schedule(cfg, round(length.epochs * stretch), rate)
    cfg.default_hooks.knn.bank.dataset.length = 64
    cfg.default_hooks.knn.test.dataset.length = 40

MIXING = dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=4, ratio=.5)
TINY = Study(
    title='Tiny', question='Does it run?', setting='a few scenes', figure='k-NN',
    figures={{'k-NN': Figure('knn'), 'linear conv5': Figure('linear', layer='conv5')}},
    variants=dict(simclr=Variant({config!r}, 'simclr', rates=(.001, )),
                  mixed=Variant({config!r}, 'simclr', {{'model.mixing': MIXING}}, (.001, ))),
    lengths=dict(short=Length(32, 6), shorter=Length(16, 1)),
    plan=(Step('short', ('simclr', 'mixed'), 3, 'shorter'), ),
    claims=(Claim('A paper', 'mixing helps', 'Fig. 1', 'mixed', 'simclr', 'k-NN', 'short', 1.5), ),
    prepare=prepare)
SIZES = dict(cpu=TINY, gpu=TINY)
"""
MACHINE = 'a machine'


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A study of one pair, in a folder of its own; returns the study."""
    config = tmp_path / 'tiny_config.py'
    config.write_text(TINY.format(root=ROOT))
    folder = tmp_path / 'studies'
    folder.mkdir()
    # a study that is rewritten within a second at the same length would be read as it was
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    (folder / 'tiny.py').write_text(STUDY.format(config=str(config)))
    monkeypatch.setattr(studies, 'FOLDER', folder)
    monkeypatch.setenv('EVIDENCE_STUDIES', str(folder))  # for the processes that measure
    return studies.load('tiny')['cpu']


def record(right, machine=MACHINE, **more):
    """A run's result with so many of 1,000 images right."""
    bits = np.arange(1000) < 10 * right
    figures = kept_figures({'k-NN': np.roll(bits, 0), 'linear conv5': bits}, percent)
    return dict(
        figures=figures,
        machine=machine,
        seconds=60,
        threads=1,
        curves={'loss': [[1, 2.0], [2, 1.0]], 'knn/top1_k20': [[1, 0.2], [2, right / 100]]},
        **more,
    )


def fill(store, base=60.0, mixed=65.0, seeds=3, pixels=30.0, spread=0.3):
    """A study's results: raw pixels, random weights, tries and fresh seeds."""
    store.add(Task('pixels', 'simclr', 'short', 0, 0.0), record(pixels))
    for variant, value in (('simclr', base), ('mixed', mixed)):
        store.add(Task('sweep', variant, 'shorter', studies.SPARE_SEED, 0.001), record(value - 9))
        for seed in range(seeds):
            store.add(
                Task('final', variant, 'short', seed, 0.001),
                record(value + spread * seed * (variant == 'mixed')),
            )
    for seed in range(seeds):
        store.add(Task('random', 'simclr', 'short', seed, 0.0), record(20.0))


def test_a_run_in_pieces_is_kept_once(tiny, tmp_path, capsys, monkeypatch):
    """Stopped by the clock, gone on with from its checkpoint, measured image by image."""
    store = Kept(tmp_path / 'runs/tiny-gpu')  # the GPU's size, here on the processor
    args = Namespace(
        minutes=None,
        data=None,
        work_dir=str(tmp_path / 'work'),
        variants=None,
        lengths=None,
        workers=2,
    )
    session = runner.Session(args, tiny, store)
    task = Task('final', 'mixed', 'short', 1, 0.001)
    folder = session.folder / task.name
    cfg = runner.configs.build(tiny, task, None)
    assert cfg.model.mixing.pattern == 'block' and cfg.randomness.seed == 1
    # The clock is put forward by an hour when a checkpoint is there: starting takes 5 s or 50.
    clock = SimpleNamespace(sleep=lambda _: time.sleep(0.01))
    clock.monotonic = lambda: time.monotonic() + 3600 * any(folder.glob('epoch_*.pth'))
    with monkeypatch.context() as patch:
        patch.setattr(pieces, 'time', clock)
        assert not pieces.train(cfg, folder, 3600, session.env)
    assert pieces.checkpoint(folder) is None and pieces.spent(folder) > 0
    assert pieces.train(cfg, folder, 3600, session.env)
    assert pieces.checkpoint(folder).name == 'epoch_6.pth'
    assert 'going on from' in (folder / 'output.txt').read_text()
    assert session.do(task) and store.has(task)
    found = Kept(store.folder).find(kind='final')[0]
    assert found['seed'] == 1 and found['machine'] == pieces.machine('cpu') and found['seconds'] > 0
    for name, figure in found['figures'].items():
        right = kept.contributions(found, name)
        assert right.dtype == bool and right.shape == (40,), name
        assert 100 * right.mean() == pytest.approx(figure['value'], abs=1e-3)
    steps = [step for step, _ in found['curves']['knn/top1_k20']]
    assert steps[-1] == 24 and len(steps) == 6
    for kind in ('pixels', 'random'):
        other = Task(kind, 'simclr', 'short', 0, 0.0)
        assert session.do(other) and len(kept.contributions(store.find(kind=kind)[0], 'k-NN')) == 40


def test_a_size_of_a_gpu_needs_one(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    argv = ['run', 'mixmask', '--size', 'gpu', '--runs', tmp_path, '--work-dir', tmp_path]
    with pytest.raises(pieces.UserError, match='runs on a GPU: torch .* finds no GPU here'):
        command.main([*map(str, argv)])
    assert not any(tmp_path.iterdir())


def test_raw_pixels_are_normalized_once(tiny):
    cfg = configs.build(tiny, Task('pixels', 'simclr', 'short', 0, 0.0), None)
    init_default_scope('mmpretrain')
    loader = make_loader(cfg.default_hooks.knn.test)
    images = np.stack([np.asarray(sample['inputs']) for sample in loader.dataset]).squeeze()
    mean, std = (np.array(cfg.model.data_preprocessor[k])[:, None, None] for k in ('mean', 'std'))
    want = ((images - mean) / std).reshape(len(images), -1)
    found, _ = measure.pixel_features(cfg, loader)
    assert found.numpy() == pytest.approx(want, abs=1e-5)


def test_the_clock_stops_a_piece_and_says_so(tiny, tmp_path):
    args = Namespace(
        minutes=0.52, data=None, work_dir=str(tmp_path / 'work'), variants=None, lengths=None
    )
    session = runner.Session(args, tiny, Kept(tmp_path / 'runs/tiny-cpu'))
    session.clock = pieces.Clock(-1)
    assert (
        not session.do(Task('sweep', 'simclr', 'shorter', 100, 0.001)) and not session.kept.records
    )


def test_a_terminated_tool_leaves_no_piece_behind(tmp_path):
    written = tmp_path / 'written'
    piece = f"""
import time
for _ in range(1200):
    open({str(written)!r}, 'a').write('.')
    time.sleep(0.05)
"""
    tool = f"""
from pathlib import Path
from evidence_tool import pieces
pieces.end_on_sigterm()
pieces.call({[sys.executable, '-c', piece]!r}, Path({str(tmp_path / 'log')!r}), {{}}, 60)
"""
    process = subprocess.Popen([sys.executable, '-c', tool], env=pieces.environment('cpu', 1))
    while not written.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    size = written.stat().st_size
    time.sleep(1)
    assert written.stat().st_size == size


def test_the_queue_tries_rates_first_and_then_fresh_seeds(tiny, tmp_path):
    store = Kept(tmp_path / 'tiny-cpu')

    def names():
        return [t.name for t in queue.missing(tiny, store, MACHINE)]

    assert names()[:3] == ['pixels', 'simclr_shorter_lr0.001_s100', 'mixed_shorter_lr0.001_s100']
    assert not any('_short_' in n for n in names())  # no fresh seed before the rate is chosen
    fill(store, seeds=2)
    assert names() == ['random_simclr_s2', 'simclr_short_lr0.001_s2', 'mixed_short_lr0.001_s2']
    # a pair is run on one type of machine
    store.add(Task('final', 'simclr', 'short', 2, 0.001), record(60.0, 'another machine'))
    assert 'simclr_short_lr0.001_s2' in names()
    store.add(Task('final', 'mixed', 'short', 2, 0.001), record(60.0, 'another machine'))
    assert names() == ['random_simclr_s2']


def test_tries_begin_with_the_middle_rate_of_every_variant(tiny, tmp_path):
    rates = dict(simclr=(0.1, 0.2, 0.4), mixed=(0.3, 0.6, 1.2))
    study = replace(
        tiny, variants={n: replace(v, rates=rates[n]) for n, v in tiny.variants.items()}
    )
    store = Kept(tmp_path / 'tiny-cpu')
    found = [(t.variant, t.rate) for t in queue.missing(study, store, MACHINE) if t.rate]
    assert found[:2] == [('simclr', 0.2), ('mixed', 0.6)]
    assert sorted(found[2:]) == [('mixed', 0.3), ('mixed', 1.2), ('simclr', 0.1), ('simclr', 0.4)]


@pytest.mark.parametrize(
    'figures, used, said',
    [
        ((30, 32, 31), 0.02, ''),
        ((30, 31, 32), 0.03, ' (the best lies at the edge)'),
        ((30, 31, 32), 0.02, ' (the best lies at the edge; 0.02 is used)'),
        ((30, 32, 31), None, ''),
    ],
)
def test_a_best_try_at_the_edge_is_said(tiny, figures, used, said):
    tries = [dict(record(v), rate=r) for v, r in zip(figures, (0.01, 0.02, 0.03))]
    assert report.about_rates(tries, tiny, used) == said


@pytest.mark.parametrize('more, loss', [({'loss_base': -0.5}, -0.5), ({}, -1.2)])
def test_the_loss_that_is_kept_is_that_of_the_unmixed_views(tmp_path, more, loss):
    log = tmp_path / '20260101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(dict(loss=-1.2, step=1, **more)) + '\n')
    assert pieces.curves(tmp_path)['loss'] == [[1, loss]]


def test_a_distillation_waits_for_its_teacher_and_starts_from_its_best(tiny, tmp_path):
    rates = (0.1, 0.2, 0.4)
    first, second = (replace(tiny.variants[name], rates=rates) for name in ('simclr', 'mixed'))
    study = replace(tiny, variants=dict(simclr=first, mixed=replace(second, after='simclr')))
    args = Namespace(
        minutes=None, data=None, work_dir=str(tmp_path / 'work'), variants=['mixed'], lengths=None
    )
    session = runner.Session(args, study, Kept(tmp_path / 'runs/tiny-cpu'))

    def own():
        return [t for t in session.ready() if t.rate]

    task = Task('sweep', 'mixed', 'shorter', studies.SPARE_SEED, 0.2)
    # a rate that is not the study's any more
    session.kept.add(task._replace(variant='simclr', rate=0.8), record(90.0))
    for rate, right in ((0.1, 40.0), (0.2, 45.0), (0.4, 42.0)):
        assert not own()
        session.kept.add(task._replace(variant='simclr', rate=rate), record(right))
    assert sorted(t.rate for t in own()) == list(rates)
    first = task._replace(kind='final', variant='simclr')
    assert session.teacher(task) == first
    for rate in rates:
        session.kept.add(task._replace(rate=rate), record(30.0))
    assert not own()
    # a run at another rate that was kept besides is no start, however good
    for seed, rate, right in ((0, 0.4, 60.0), (0, 0.2, 45.0), (1, 0.4, 60.0)):
        fresh = first._replace(length='short', seed=seed, rate=rate)
        session.kept.add(fresh, record(right, machine=session.machine))
    assert [(t.kind, t.seed) for t in own()] == [('final', 0)]
    assert session.teacher(own()[0]) == first._replace(length='short', seed=0)


def test_dense_rows_are_of_finals_or_of_the_best_try(tiny, tmp_path):
    store = Kept(tmp_path / 'tiny-cpu')
    for rate, right in ((0.1, 40.0), (0.2, 45.0), (0.4, 42.0)):
        store.add(Task('sweep', 'simclr', 'shorter', 100, rate), record(right))
    store.add(Task('sweep', 'mixed', 'shorter', 100, 0.1), record(40.0))
    store.add(Task('final', 'mixed', 'short', 0, 0.1), record(50.0))
    store.add(Task('random', 'simclr', 'short', 0, 0.0), record(20.0))
    found = [(t.kind, t.variant, t.rate) for t in frozen_dense.measured(tiny, store)]
    assert found == [
        *(('final', 'mixed', 0.1), ('sweep', 'simclr', 0.2), ('random', 'simclr', 0.0))
    ]


def test_variants_wait_until_their_baseline_has_learned(tiny, tmp_path):
    store = Kept(tmp_path / 'tiny-cpu')
    fill(store, base=34.0, pixels=30.0, seeds=1)
    assert queue.gate(tiny, store, 'simclr', 'short') == (
        False,
        dict(
            base=pytest.approx(34.0),
            pixels=pytest.approx(30.0),
            random=pytest.approx(20.0),
            figure='k-NN',
            runs=1,
        ),
    )
    assert not any(t.variant == 'mixed' for t in queue.missing(tiny, store, MACHINE))
    judged = claims.judge(tiny, store, tiny.claims[0])
    assert judged.verdict == 'not ranked' and judged.interval is None
    said = 'the baseline reaches 34.0 (k-NN, 1 seed); a ranking needs 35.0'
    assert said in report.claim_row(judged)


def test_a_claim_needs_its_own_metric_to_have_been_learned(tiny, tmp_path):
    store = Kept(tmp_path / 'tiny-cpu')
    fill(store)
    claim = replace(tiny.claims[0], figure='linear conv5')
    assert claims.judge(tiny, store, claim).verdict == 'agrees'
    for found in store.find(kind='random'):  # by k-NN they stay far below
        found['figures']['linear conv5']['value'] = 57.0
    assert claims.judge(tiny, store, tiny.claims[0]).verdict == 'agrees'
    judged = claims.judge(tiny, store, claim)
    assert judged.verdict == 'not ranked' and judged.interval is None and not judged.row()['gate']
    said = 'the baseline reaches 60.0 (linear conv5, 3 seeds); a ranking needs 62.0'
    assert said in report.claim_row(judged)


def test_a_difference_of_differences_needs_both_baselines(tiny, tmp_path):
    other = dict(
        weak=replace(tiny.variants['simclr'], base='weak'),
        mixed_weak=replace(tiny.variants['mixed'], base='weak'),
    )
    study = replace(tiny, variants={**tiny.variants, **other})
    claim = replace(tiny.claims[0], beyond=('mixed_weak', 'weak'))
    for value, verdict in ((45.0, 'agrees'), (34.0, 'not ranked')):
        store = Kept(tmp_path / f'{value}/tiny-cpu')
        fill(store)
        for seed in range(3):
            store.add(Task('random', 'weak', 'short', seed, 0.0), record(20.0))
            for name in other:
                store.add(Task('final', name, 'short', seed, 0.001), record(value + 0.1 * seed))
        assert claims.judge(study, store, claim).verdict == verdict


def test_no_verdict_before_the_seeds_that_were_planned(tiny, tmp_path):
    """Else whoever adds seeds could stop when the verdict pleases."""
    study = replace(tiny, plan=(replace(tiny.plan[0], seeds=5),))
    store = Kept(tmp_path / 'tiny-cpu')
    fill(store)
    assert claims.judge(study, store, tiny.claims[0]).verdict == 'not measured yet'
    fill(store, seeds=5)
    assert claims.judge(study, store, tiny.claims[0]).verdict == 'agrees'


def test_a_second_look_is_said(tiny, tmp_path):
    store = Kept(tmp_path / 'tiny-cpu')
    fill(store, mixed=60.6)  # +0.9 with a spread of 0.3: t = 5.2
    first, second = (
        claims.judge(tiny, store, replace(tiny.claims[0], looks=looks)) for looks in (1, 2)
    )
    assert first.interval.difference == second.interval.difference
    assert second.interval.low < first.interval.low < first.interval.high < second.interval.high
    assert 'look' not in report.claim_row(first)
    assert '(look 2: its interval is wider)' in report.claim_row(second)


@pytest.mark.parametrize(
    'mixed, verdict', [(65.0, 'agrees'), (55.0, 'contradicts'), (60.0, 'undecided')]
)
def test_verdicts(tiny, tmp_path, mixed, verdict):
    store = Kept(tmp_path / 'tiny-cpu')
    fill(store, mixed=mixed - 0.3)
    judged = claims.judge(tiny, store, tiny.claims[0])
    row = judged.row()
    assert row['verdict'] == verdict and row['gate'] and row['seeds'] == 3 and row['images'] == 1000
    assert (
        row['difference'] == pytest.approx(mixed - 60, abs=0.01) and row['paper_difference'] == 1.5
    )
    assert set(row) == {
        'paper',
        'claim',
        'source',
        'figure',
        'paper_difference',
        'difference',
        'low',
        'high',
        'verdict',
        'seeds',
        'images',
        'gate',
    }
    assert ('would be found reliably' in report.claim_row(judged)) == (verdict == 'undecided')


def test_two_seeds_are_no_verdict(tiny, tmp_path):
    store = Kept(tmp_path / 'tiny-cpu')
    fill(store, seeds=2)
    judged = claims.judge(tiny, store, tiny.claims[0])
    assert judged.verdict == 'not measured yet' and '6 of 8 runs' in report.claim_row(judged)


def test_the_page_and_its_copies(tiny, tmp_path):
    for page in ('README.md', 'configs/tiny/README.md'):
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text('before\n<!-- evidence -->\nold\n<!-- /evidence -->\nafter\n')
    fill(Kept(tmp_path / 'docs/evidence/runs/tiny-cpu'))
    report.report(root=tmp_path, folder=studies.FOLDER)
    page = (tmp_path / 'docs/evidence.md').read_text()
    row = '| A paper | mixing helps | Fig. 1 | k-NN | +1.5 | +5.3 [+'
    assert page.count(row) == 1 and page.index('## Every claim') < page.index(row) < page.index(
        '## Tiny, cpu'
    )
    assert '## Tiny, gpu' not in page  # nothing of it was run
    assert '- Gate, simclr, short, k-NN: 60.0; raw pixels 30.0, random weights 20.0: passed' in page
    assert (
        '- Learning rates tried, mixed, shorter: 0.001: 56.0' in page
        and '| mixed | short | 0.001 | 65.3 ± 0.3 |' in page
    )
    figure = tmp_path / 'docs/evidence/tiny-cpu-short.png'
    assert figure.stat().st_size > 5000 and f'(evidence/{figure.name})' in page
    rows = json.loads((tmp_path / 'docs/evidence/claims.json').read_text())
    assert [r['verdict'] for r in rows[:1]] == ['agrees'] and rows[1]['paper'] == 'Dense transfer'
    for copy in ('README.md', 'configs/tiny/README.md'):
        text = (tmp_path / copy).read_text()
        said = row if copy.startswith('configs') else 'claims: 1 agrees, '
        assert (
            said in text
            and 'old' not in text
            and text.startswith('before')
            and text.endswith('after\n')
        )


@pytest.mark.parametrize(
    'values',
    [
        np.random.default_rng(0).random(1003) < 0.4,
        np.random.default_rng(0).integers(0, 9999, (7, 3, 2)),
    ],
)
def test_what_is_kept_comes_back(values):
    kept_text = json.loads(json.dumps(pack(values)))
    assert np.array_equal(unpack(kept_text), values)
    if values.dtype == bool:
        assert len(kept_text['data']) < 1003 / 8 * 4 / 3 + 40


@pytest.mark.parametrize(
    'argv, words',
    [
        (['run', 'tinny'], "did you mean 'tiny'"),
        (['run', 'tiny', '--size', 'cpus'], "did you mean 'cpu'"),
        (['run', 'tiny', '--variants', 'simclrr'], "did you mean 'simclr'"),
        (['run', 'tiny', '--data', '/nowhere'], 'no such folder'),
        ([], 'nothing to do'),
    ],
)
def test_mistakes(tiny, tmp_path, argv, words):
    from evidence_tool.command import main

    runs = ['--runs', str(tmp_path / 'runs')] if argv else []
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        main([*argv, *runs])


@pytest.mark.parametrize('minutes', ['nan', '0', '-3', 'inf'])
def test_a_wrong_time_is_said(capsys, minutes):
    from evidence_tool.command import parse

    with pytest.raises(SystemExit):
        parse(['run', 'tiny', f'--minutes={minutes}'])
    assert f'--minutes: must be more than 0, got {minutes}' in capsys.readouterr().err


def test_a_study_that_breaks_the_rules_is_refused(tiny):
    text = (Path(studies.FOLDER) / 'tiny.py').read_text()
    for old, new, words in (
        ("'mixed'), 3", "'mixed'), 2", '3 seeds'),
        ('MIXING}, (.001, )', 'MIXING}, (.001, .1)', 'learning rates'),
    ):
        (Path(studies.FOLDER) / 'tiny.py').write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=words):
            studies.load('tiny')


def test_dense_protocols_on_the_checkpoints_of_a_study(tiny, tmp_path, monkeypatch, capsys):
    """Random weights, and a run that is trained again; kept once, shown beside the image level."""
    monkeypatch.setattr(frozen_dense, 'SCENES', (6, 3))
    monkeypatch.setattr(frozen_dense, 'SIDE', 64)
    monkeypatch.setattr(frozen_dense, 'MEMORY', 60)
    monkeypatch.setattr(report, 'report', lambda: None)
    monkeypatch.setattr(frozen_dense.configs, 'find_data', lambda given: None)
    runs = tmp_path / 'runs'
    store = Kept(runs / 'tiny-cpu')
    replaced = Task('sweep', 'simclr', 'shorter', 100, 0.001)
    row = dict(replaced._asdict(), rows={}, machine=MACHINE)  # kept before there was a final
    (store.folder / 'dense').mkdir(parents=True)
    (store.folder / f'dense/{replaced.name}.json').write_text(json.dumps(row))
    for seed in range(2):
        store.add(Task('random', 'simclr', 'short', seed, 0.0), record(20.0 + seed))
    final = Task('final', 'simclr', 'shorter', 0, 0.001)
    store.add(final, record(60.0))
    argv = ['dense', 'tiny', '--runs', str(runs), '--work-dir', str(tmp_path / 'work')]
    command.main(argv)
    assert f'without a checkpoint here: {final.name};' in capsys.readouterr().out
    command.main([*argv, '--train'])
    found = frozen_dense.load(tiny, Kept(store.folder))
    assert [r['kind'] for r in found] == ['random', 'random', 'final']
    for one in found:
        rows = one['rows']['scenes']
        assert {r['protocol'] for r in rows} == {p for p, _ in frozen_dense.COLUMNS.values()}
        assert {r['setting'].split(',')[0] for r in rows} == {'map4', 'map5'}
    before = {f: f.stat().st_mtime_ns for f in store.folder.glob('dense/*.json')}
    command.main([*argv, '--train'])
    assert before == {f: f.stat().st_mtime_ns for f in before} and len(before) == 4

    lines = frozen_dense.section(tiny, Kept(store.folder))
    (row,) = [n for n in lines if n.startswith('| simclr | shorter | 60.0 | scenes, map4 |')]
    value = next(
        r['value']
        for r in found[2]['rows']['scenes']
        if r['protocol'] == 'hummingbird' and r['setting'].startswith('map4')
    )
    assert row.split('|')[7].strip() == f'{value:.1f}'
    (row,) = [
        n
        for n in lines
        if n.startswith('| random weights, network of simclr |  | 20.5 ± 0.7 | scenes, map5')
    ]
    assert ' ± ' in row.split('|')[5] and row.endswith('| 2 |')
    assert len(found[0]['rows']['scenes']) == len(found[2]['rows']['scenes'])
    with pytest.raises(pieces.UserError, match='no run is kept'):
        command.main([*argv[:2], '--runs', str(tmp_path / 'none')])
