"""What docs/evidence.md says is what the kept results give."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
from evidence_tool import claims, configs, dense_report, kept, report, statistics
from evidence_tool import study as studies
from evidence_tool.kept import Kept, Task

RUNS = ROOT / 'docs/evidence/runs'
STUDIES = [(name, size) for name in studies.names() for size in studies.load(name)]


@pytest.mark.parametrize('name, size', STUDIES)
def test_configs_of_every_variant_and_length(name, size):
    """They exist, at the study's length and rate, in float32 (what differs: test_studies.py)."""
    study = studies.load(name)[size]
    for length in study.lengths:
        built = {
            v: configs.build(study, Task('final', v, length, 0, 0.01), None, 'before.pth')
            for v in study.variants
        }
        for variant, cfg in built.items():
            own = study.variants[variant]
            assert cfg.train_cfg.max_epochs == round(study.lengths[length].epochs * own.stretch)
            assert cfg.optim_wrapper.optimizer.lr == 0.01
            assert cfg.optim_wrapper.type == 'OptimWrapper'  # float32
            peers = [
                built[v]
                for v, other in study.variants.items()
                if other.config == own.config and other.stretch == own.stretch
            ]
            for peer in peers:
                assert peer.param_scheduler == cfg.param_scheduler
                assert peer.train_dataloader.batch_size == cfg.train_dataloader.batch_size


def test_every_verdict_follows_from_the_kept_images():
    """Again, by the formulas of statistics.py written out, from the bits alone."""
    rows = json.loads((ROOT / 'docs/evidence/claims.json').read_text())
    expected = []
    for name, size in STUDIES:
        study, store = studies.load(name)[size], Kept(RUNS / f'{name}-{size}')
        if size == 'cpu' or store.records:
            expected += [(study, store, claim) for claim in study.claims]
    dense = [j.row() for j in dense_report.of_folder(RUNS)[1]]
    assert rows[len(expected) :] == dense
    assert [r['claim'] for r in rows[: len(expected)]] == [claim.text for _, _, claim in expected]
    for row, (study, store, claim) in zip(rows, expected):
        if row['difference'] is None:
            assert row['verdict'] in (claims.NOT_RANKED, claims.NOT_MEASURED)
            continue
        assert row['gate'] and row['seeds'] >= 3
        runs = [
            {
                (r['seed'], r['machine']): kept.contributions(r, claim.figure)
                for r in claims.finals(study, store, v, claim.length)
            }
            for v in claim.variants
        ]
        pairs = sorted(set.intersection(*map(set, runs)))
        stacked = [np.stack([r[p] for p in pairs]).astype(float) for r in runs]
        if stacked[0].ndim > 2:  # mIoU: by the module
            found = statistics.compare(stacked[0], stacked[1])
            low, high = found.low, found.high
        else:
            d = 100 * (stacked[0] - stacked[1])
            if claim.beyond:
                d = d - 100 * (stacked[2] - stacked[3])
            s, n = d.shape
            of_images, each = d.mean(0).var() / n, d.var(1).mean() / n
            w = max(0.0, of_images - max(0.0, each - of_images) / (s - 1))
            # the quantiles of 95 % and, at a second look, of 97.5 %
            t, z = {
                (3, 1): (4.302653, 1.959964),
                (5, 1): (2.776445, 1.959964),
                (5, 2): (3.495406, 2.241403),
            }[s, claim.looks]
            half = (t**2 * d.mean(1).var(ddof=1) / s + z**2 * w) ** 0.5
            low, high = d.mean() - half, d.mean() + half
        assert row['low'] == pytest.approx(low, abs=0.006) and row['high'] == pytest.approx(
            high, abs=0.006
        )
        assert row['verdict'] == (
            'agrees' if low > 0 else 'contradicts' if high < 0 else 'undecided'
        )
        assert row['images'] == stacked[0].shape[1]


def test_every_kept_figure_is_its_images_mean():
    for path in sorted(RUNS.glob('*/*.json')):
        record = json.loads(path.read_text())
        assert path.stem == Task(*(record[k] for k in Task._fields)).name
        for name, figure in record['figures'].items():
            value = statistics.percent(kept.contributions(record, name))
            assert value == pytest.approx(figure['value'], abs=1e-3), (path, name)


def test_what_is_kept_is_small():
    assert sum(p.stat().st_size for p in (ROOT / 'docs/evidence').rglob('*')) < 5e6


def test_pages_show_what_was_measured(tmp_path):
    """docs/evidence.md, claims.json and the copies are what `--report` writes."""
    pages = ['README.md', *(f'configs/{name}/README.md' for name in studies.names())]
    for page in pages:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        emptied, marks = re.subn(
            '(?<=<!-- evidence -->).*(?=<!-- /evidence -->)',
            '\n',
            (ROOT / page).read_text(),
            flags=re.DOTALL,
        )
        assert marks == 1, page
        (tmp_path / page).write_text(emptied)
    shutil.copytree(ROOT / 'docs/evidence', tmp_path / 'docs/evidence')
    report.report(root=tmp_path, drawn=False)
    for page in ('docs/evidence.md', 'docs/evidence/claims.json', *pages):
        assert (tmp_path / page).read_text() == (ROOT / page).read_text(), (
            'python tools/evidence.py --report'
        )
