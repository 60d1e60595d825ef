"""Dense transfer: AP and mIoU with what the interval needs of every image, and the claims."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
pytest.importorskip('mmseg', reason='dense transfer needs mmseg')
from evidence_tool import dense_metrics, dense_report, dense_runner
from evidence_tool.dense_study import FAMILIES, RANDOM, RATES, TRANSFERS, starts
from evidence_tool.kept import Kept, Task, kept_figures
from evidence_tool.report import claim_row
from evidence_tool.statistics import draws, percent
from mssl_plugins.registry import HOOKS

CATEGORIES = [dict(id=1, name='a'), dict(id=2, name='b')]


def boxes(rng, images, count):
    """Random boxes of two classes."""
    for image in range(images):
        for _ in range(count):
            x, y = rng.uniform(0, 40, 2)
            w, h = rng.uniform(8, 40, 2)
            yield dict(
                image_id=image,
                category_id=int(rng.integers(1, 3)),
                bbox=[float(v) for v in (x, y, w, h)],
            )


def write(folder, truth, predictions, images):
    """Both files of COCO's formats."""
    annotations = [
        dict(b, id=i + 1, iscrowd=0, area=b['bbox'][2] * b['bbox'][3]) for i, b in enumerate(truth)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'boxes.gt.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=i, height=100, width=100) for i in range(images)],
                annotations=annotations,
                categories=CATEGORIES,
            )
        )
    )
    (folder / 'boxes.bbox.json').write_text(json.dumps(predictions))


def plain_ap(folder):
    """COCO's own AP."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gold = COCO(str(folder / 'boxes.gt.json'))
    evaluation = COCOeval(gold, gold.loadRes(str(folder / 'boxes.bbox.json')), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * evaluation.stats[0]


def test_resampled_ap_is_that_of_the_images_drawn(tmp_path):
    """The set's own, and a resample's against a set in which drawn images really stand twice."""
    rng, images = np.random.default_rng(0), 8
    truth = list(boxes(rng, images, 3))
    predictions = [
        dict(b, bbox=[v + float(rng.normal(0, 2)) for v in b['bbox']], score=float(rng.random()))
        for b in truth
    ]
    predictions += [dict(b, score=float(rng.random())) for b in boxes(rng, images, 2)]
    write(tmp_path / 'all', truth, predictions, images)
    found = dense_metrics.of_run(tmp_path / 'all', ['AP'])['AP']
    assert found.shape == (1 + dense_metrics.RESAMPLES_AP,)
    assert found[0] == pytest.approx(plain_ap(tmp_path / 'all')) and 5 < found[0] < 95
    for i in (0, 7):
        counts = draws(images, dense_metrics.RESAMPLES_AP)[i]
        drawn = np.repeat(np.arange(images), counts)
        again = [
            [
                dict(b, image_id=new)
                for new, old in enumerate(drawn)
                for b in group
                if b['image_id'] == old
            ]
            for group in (truth, predictions)
        ]
        write(tmp_path / f'{i}', *again, images)
        assert found[1 + i] == pytest.approx(plain_ap(tmp_path / f'{i}'), abs=1e-6)


def test_no_box_is_no_ap(tmp_path):
    write(tmp_path, list(boxes(np.random.default_rng(0), 4, 2)), [], 4)
    assert not dense_metrics.of_run(tmp_path, ['AP'])['AP'].any()


def test_miou_of_the_kept_counts_is_mmsegs(tmp_path):
    import torch
    from mmengine.registry import DefaultScope

    rng = np.random.default_rng(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        metric = dense_metrics.KeptIoUMetric(str(tmp_path))
    metric.dataset_meta = dict(classes=('x', 'y', 'z'))
    for _ in range(5):
        labels, predicted = (torch.from_numpy(rng.integers(0, 3, (1, 9, 9))) for _ in 'ab')
        metric.process({}, [dict(pred_sem_seg=dict(data=predicted), gt_sem_seg=dict(data=labels))])
    theirs = metric.compute_metrics(metric.results)
    counts = np.load(tmp_path / dense_metrics.COUNTS)
    assert counts.shape == (5, 3, 2)
    assert percent(counts) == pytest.approx(theirs['mIoU'], abs=0.01)


@pytest.mark.parametrize('name', TRANSFERS)
def test_configs_of_every_start(name, tmp_path):
    """The shipped config with data, start, seed and rate put in, and nothing else."""
    transfer = TRANSFERS[name]
    built = {}
    for start in starts(transfer):
        weights = None if start == RANDOM else Path('weights.pth')
        cfg = dense_runner.config_of(
            Task('final', start, name, 1, 2.0), tmp_path, tmp_path / 'run', weights
        )
        assert cfg.default_hooks.backbone.pop('checkpoint') == (weights and str(weights))
        HOOKS.build(dict(cfg.default_hooks.backbone, checkpoint='weights.pth'))  # its arguments
        cfg.default_hooks.backbone.pop('source', None)
        assert cfg.train_dataloader.dataset.data_root == str(tmp_path / 'data' / transfer.data)
        assert cfg.train_cfg.max_iters == 200
        built[start] = cfg.to_dict()
    assert all(cfg == built[RANDOM] for cfg in built.values())
    kept = {'AP': 'outfile_prefix', 'mIoU': 'folder'}[transfer.figure]
    assert any(kept in metric for metric in built[RANDOM]['val_evaluator'])


def test_weights_are_of_shipped_configs():
    from mssl_plugins.catalogue import find

    for family in FAMILIES.values():
        assert len(family) == 2 and all(find(w.config) for w in family.values())


def fill(store, name='c4-bccd', gain=5.0, seeds=3):
    """Tries and fresh seeds of a transfer, AP resampled with a spread of 1."""
    noise = np.random.default_rng(0).normal(0, 1, 1 + dense_metrics.RESAMPLES_AP)
    noise[0] = 0
    for i, start in enumerate(starts(TRANSFERS[name])):
        for rate in RATES:
            add(store, Task('sweep', start, name, 100, rate), 20 - abs(rate - 1) + 0 * noise)
        for seed in range(seeds):
            add(
                store,
                Task('final', start, name, seed, 1.0),
                20 + gain * min(i, 1) + 0.1 * seed * i + noise,
            )


def add(store, task, values):
    figures = kept_figures({TRANSFERS[task.length].figure: values}, dense_runner._value)
    store.add(task, dict(figures=figures, machine='m', seconds=9, threads=1))


def test_claims_of_an_arm(tmp_path):
    store = Kept(tmp_path / 'dense-cpu')
    fill(store)
    judged = {j.claim.text: j for j in dense_report.judge_all(store)}
    first = judged['Faster R-CNN C4, BCCD: SimCLR is above random weights']
    assert first.verdict == 'agrees' and first.interval.difference == pytest.approx(5.1, abs=0.01)
    second = judged['Faster R-CNN C4, BCCD: SimCLR + MixMask is above SimCLR']
    assert second.verdict == 'undecided' and second.interval.images == 72
    never = judged['UperNet, CamVid: MAE is above random weights']
    assert never.verdict == 'not measured yet' and not never.gate
    page = '\n'.join(dense_report.section(store, list(judged.values())))
    assert '| Faster R-CNN C4, BCCD | SimCLR | 1 | AP | 25.1 ± 0.1 | 3 |' in page


def test_a_base_that_does_not_transfer_ranks_nothing(tmp_path):
    store = Kept(tmp_path / 'dense-cpu')
    fill(store, gain=4.0)  # and 0.1 by the middle seed
    judged = {j.claim.text: j for j in dense_report.judge_all(store)}
    assert judged['Faster R-CNN C4, BCCD: SimCLR is above random weights'].verdict == 'agrees'
    second = judged['Faster R-CNN C4, BCCD: SimCLR + MixMask is above SimCLR']
    assert second.verdict == 'not ranked' and not second.gate
    said = 'the baseline reaches 24.1 (AP, 3 seeds); a ranking needs 25.0'
    assert said in claim_row(second)


def test_tries_come_before_fresh_seeds(tmp_path):
    store = Kept(tmp_path / 'dense-cpu')
    names = [t.kind for t in dense_runner.missing(store, ['c4-bccd'])]
    assert names == ['sweep'] * 9
    fill(store, seeds=2)
    left = list(dense_runner.missing(store, ['c4-bccd']))
    assert [t.seed for t in left] == [2, 2, 2] and {t.rate for t in left} == {1.0}


def test_mistakes():
    import dense_evidence

    with pytest.raises(ValueError, match="did you mean 'c4-bccd'"):
        dense_evidence.main(['--transfers', 'c4-bcd'])
