"""Do pre-trained weights help detection and segmentation, at equal iterations?

    python tools/dense_evidence.py                        # everything that is not done yet
    python tools/dense_evidence.py --arms c4-scenes --seeds 0
    python tools/dense_evidence.py --report               # only write the page

Pre-trains a small ResNet and a small ViT on embedded scenes, then trains each
arm twice a seed: from these weights and from random ones, everything else
alike. Every run is one of ``tools/train.py`` with a shipped config; its result
is kept in ``docs/evidence/dense-cpu.json`` when it finishes, so that a second
call goes on where the first was stopped. ``docs/evidence.md`` shows them.
"""
import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import List, Optional, Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]

import evidence  # noqa: E402
from mssl_plugins.commands.train import main as train  # noqa: E402
from mssl_plugins.errors import (  # noqa: E402
    UserError,
    run_cli,
    unknown,  # noqa: E402
)

# the views that the weights below were made with
VIEWS = ['train_dataloader.dataset.pipeline.0.views.0.scale=(0.5,1.0)',
         'train_dataloader.dataset.pipeline.0.views.0.solarize.p=0.2']
# what the weights come from: config, checkpoint, part of it, further options
PRETRAIN = dict(
    resnet=('simclr_resnet18_scenes', 'epoch_6.pth', 'student',
            ['train_cfg.max_epochs=6', 'train_dataloader.dataset.length=4000',
             'param_scheduler.0.T_max=6', *VIEWS]),
    vit=('simclr_vit_scenes', 'epoch_8.pth', 'student', VIEWS))
# arm: (what it is, config, weights, data, figures, the first of which counts)
ARMS = {
    'c4-scenes': ('Faster R-CNN C4, scenes', 'faster-rcnn_r18-c4_scenes-voc', 'resnet', 'scenes-voc',
                  ['coco/bbox_mAP', 'coco/bbox_mAP_50', 'pascal_voc/AP50']),
    'c4-bccd': ('Faster R-CNN C4, BCCD', 'faster-rcnn_r18-c4_bccd', 'resnet', 'bccd',
                ['coco/bbox_mAP', 'coco/bbox_mAP_50', 'pascal_voc/AP50']),
    'vitdet-scenes': ('Mask R-CNN ViTDet, scenes', 'vitdet_vit_scenes-coco', 'vit', 'scenes-coco',
                      ['coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP', 'coco/segm_mAP_50']),
    'upernet-scenes': ('UperNet, scenes', 'upernet_vit_scenes-seg', 'vit', 'scenes-seg',
                       ['mIoU', 'mAcc']),
    'upernet-camvid': ('UperNet, CamVid', 'upernet_vit_camvid', 'vit', 'camvid',
                       ['mIoU', 'mAcc']),
}
STARTS = ('pretrained', 'random')


def make_data(name: str, folder: Path, source: Optional[str]) -> None:
    """The set that an arm's config looks for, once."""
    from mssl_plugins.datasets.dense_layouts import PACKED, default_source, write_scenes
    out, part = folder / 'data' / name, folder / 'data' / f'.{name}'
    if out.exists():
        return
    if name in PACKED:
        PACKED[name](default_source(source, ROOT), part)
    else:
        write_scenes(part, name.split('-')[1])
    part.rename(out)


def _body(folder: Path, argv: List[str]) -> None:
    os.chdir(folder)
    with open(Path(argv[2]).with_suffix('.txt'), 'w') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.exit(train(argv))


def run(folder: Path, name: str, work_dir: Path, seed: int, options: List[str],
        flags: Sequence[str] = ()) -> float:
    """A run of ``tools/train.py``, in a process that need not import again.

    Returns:
        float: The CPU seconds it took.
    """
    work_dir.parent.mkdir(parents=True, exist_ok=True)
    argv = [name, '--work-dir', str(work_dir), '--seed', str(seed), *flags, '--cfg-options',
            'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False', *options]
    before = os.times()
    process = multiprocessing.get_context('fork').Process(target=_body, args=(folder, argv))
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f'{work_dir.name} ended with status {process.exitcode}: see '
                        f"{work_dir.with_suffix('.txt')}")
    after = os.times()
    return after.children_user + after.children_system \
        - before.children_user - before.children_system


def section(records: List[dict]) -> List[str]:
    """The part of ``docs/evidence.md``."""
    lines = [
        '## Dense transfer, cpu size', '',
        'Do pre-trained weights beat random ones in detection and segmentation at equal iterations?', '',
        '- Weights: ' + '; '.join(
            f"{name} {config} ({source}{', ' + ' '.join(options) if options else ''})"
            for name, (config, _, source, options) in PRETRAIN.items()),
        '- Configs: ' + ', '.join(f'`{config}`' for _, config, *_ in ARMS.values())
        + '; 200 iterations of batches of 4',
        '- Figure: AP of boxes (IoU 0.5-0.95, pycocotools) or mIoU on held-out images, %, mean ± standard '
        'deviation over the seeds',
        f"- Machine: {'; '.join(sorted({r['machine'] for r in records}))}, 1 thread",
        '- Command: `python tools/dense_evidence.py`', '',
        '| arm | figure | pre-trained | random | seeds | difference, seed by seed | CPU seconds a run |',
        '| --- | --- | --- | --- | --- | --- | --- |']
    for arm, (title, _, _, _, figures) in ARMS.items():
        found = {start: {r['seed']: r for r in records if r['arm'] == arm and r['start'] == start}
                 for start in STARTS}
        seeds = sorted(set(found['pretrained']) & set(found['random']))
        if not seeds:
            continue
        for figure in figures:
            values = [[found[start][s][figure] for s in seeds] for start in STARTS]
            pairs = [100 * (a - b) for a, b in zip(*values)]
            last = ' | | |'
            if figure == figures[0]:
                spent = [found[start][s]['seconds'] for start in STARTS for s in seeds]
                listed = ', '.join(f'{p:+.1f}' for p in pairs)
                last = (f" {', '.join(map(str, seeds))} | {listed}; mean {statistics.mean(pairs):+.1f}: "
                        f'{verdict(pairs)} | {statistics.mean(spent):.0f} |')
            lines.append(f"| {title if figure == figures[0] else ''} | {figure} | "
                         f'{evidence.spread(values[0])} | {evidence.spread(values[1])} |{last}')
    notes = evidence.RESULTS / 'dense-cpu.md'
    return lines + (['', *notes.read_text().rstrip().splitlines()] if notes.exists() else [])


def verdict(pairs: List[float]) -> str:
    """Whether pre-training helped, against the standard error of the differences."""
    mean = statistics.mean(pairs)
    if len(pairs) < 2:
        return ('better' if mean > 0 else '**not better**') + ' (one seed)'
    error = statistics.stdev(pairs) / len(pairs)**.5
    return 'within the noise' if abs(mean) < 2 * error else 'better' if mean > 0 else '**worse**'


def report(records: List[dict]) -> None:
    """Write the section, and ``docs/evidence.md`` with it."""
    if records:
        (evidence.RESULTS / 'dense.page.md').write_text('\n'.join(section(records)) + '\n')
    evidence.report()


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arms', nargs='+', default=list(ARMS), help=f"of {', '.join(ARMS)}")
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='Default: 0 1 2')
    parser.add_argument('--data', help='folder of bccd_voc.tar.gz and camvid_*.npz; default: '
                        '$MSSL_DATA, then ../shared/data')
    parser.add_argument('--work-dir', default=str(ROOT / 'work_dirs/evidence/dense-cpu'))
    parser.add_argument('--report', action='store_true', help='only write docs/evidence.md')
    args = parser.parse_args(argv)
    for arm in args.arms:
        if arm not in ARMS:
            raise unknown(arm, ARMS, 'arm')
    results = evidence.RESULTS / 'dense-cpu.json'
    records = json.loads(results.read_text()) if results.exists() else []
    if args.report:
        return report(records)
    import mmdet.apis  # noqa: F401  (imported once, before the forks)
    import mmpretrain  # noqa: F401
    import mmseg.apis  # noqa: F401

    import mssl_plugins.datasets  # noqa: F401
    import mssl_plugins.engine  # noqa: F401
    import mssl_plugins.models  # noqa: F401
    folder = Path(args.work_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    where = evidence.machine('cpu')
    done = {(r['arm'], r['start'], r['seed']) for r in records}
    for seed in args.seeds:
        for arm in args.arms:
            title, config, weights, data, figures = ARMS[arm]
            name, file, source, options = PRETRAIN[weights]
            for start in STARTS:
                if (arm, start, seed) in done:
                    continue
                make_data(data, folder, args.data)
                checkpoint = folder / f'pretrain-{weights}' / file
                if start == 'pretrained' and not checkpoint.exists():
                    print(f'pre-training: {name} ...', flush=True)
                    spent = run(folder, name, checkpoint.parent, 0, options, ['--no-validate'])
                    print(f'pre-training: {name}: {spent:.0f} s', flush=True)
                print(f'{arm}, {start}, seed {seed} ...', flush=True)
                work_dir = folder / f'{arm}-{start}-s{seed}-{time.strftime("%H%M%S")}'
                spent = run(folder, config, work_dir, seed, ['val_dataloader.num_workers=0'] + (
                    [f'default_hooks.backbone.checkpoint={checkpoint}',
                     f'default_hooks.backbone.source={source}'] if start == 'pretrained' else []))
                values = evidence.last_scalars(work_dir)
                percent = 100 if 'mIoU' in figures else 1
                # nothing above the score threshold: mmdet logs no AP, which is 0
                records.append(dict(
                    {f: max(values.get(f, 0.), 0.) / percent for f in figures}, arm=arm, start=start,
                    seed=seed, config=config, machine=where, seconds=spent, loss=values.get('loss')))
                evidence.save(results, records)
                print(f'{arm}, {start}, seed {seed}: {100 * records[-1][figures[0]]:.1f} in '
                      f'{spent:.0f} s', flush=True)
                report(records)


if __name__ == '__main__':
    sys.exit(run_cli(main))
