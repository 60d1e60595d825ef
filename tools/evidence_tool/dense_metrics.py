"""mIoU and box AP with what the interval needs of every test image."""

import contextlib
import io
import json
from pathlib import Path
from typing import Dict, List

import numpy as np
from mmseg.evaluation import IoUMetric

from evidence_tool.statistics import RESAMPLES, draws
from mssl_plugins.registry import METRICS

COUNTS = 'counts.npy'
RESAMPLES_AP = RESAMPLES // 5  # an evaluation each


@METRICS.register_module()
class KeptIoUMetric(IoUMetric):
    """mmseg's mIoU that also writes each image's pixels in intersection and union.

    Args:
        folder (str): Where ``counts.npy`` goes: (N, C, 2) int64.
        **kwargs: Those of ``mmseg.IoUMetric``.
    """

    def __init__(self, folder: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Writes the counts, then computes what mmseg computes."""
        counts = np.stack([np.stack([np.asarray(a), np.asarray(b)], -1) for a, b, *_ in results])
        np.save(self.folder / COUNTS, counts.round().astype(np.int64))
        return super().compute_metrics(results)


def resampled_ap(truth: Path, predictions: Path, seed: int = 0) -> np.ndarray:
    """Box AP on the test images and on bootstrap resamples of them.

    The resamples are the same for every run on the same images, so that
    differences of two runs are paired.

    Args:
        truth (Path): Annotations in COCO's format.
        predictions (Path): Boxes in COCO's results format.
        seed (int): Seed of the resamples. Defaults to 0.

    Returns:
        np.ndarray: (1 + B,) AP in %, IoU 0.5-0.95: the whole set's first.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gold = COCO(str(truth))
    boxes = json.loads(Path(predictions).read_text())
    images = len(gold.getImgIds())
    drawn = draws(images, RESAMPLES_AP, seed)
    if not boxes:  # nothing above the score threshold
        return np.zeros(1 + RESAMPLES_AP)
    evaluation = COCOeval(gold, gold.loadRes(boxes), 'bbox')
    evaluation.evaluate()
    cells = np.empty(len(evaluation.evalImgs), object)
    cells[:] = evaluation.evalImgs
    cells = cells.reshape(-1, images)  # (classes x areas, images)
    return np.array(
        [_ap(evaluation, cells)]
        + [_ap(evaluation, cells[:, np.repeat(np.arange(images), counts)]) for counts in drawn]
    )


def _ap(evaluation, cells: np.ndarray) -> float:
    """AP of these images, all areas, 100 boxes an image."""
    evaluation.evalImgs = list(cells.ravel())
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of every resample
        evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, :, 0, -1]
    there = precision[precision > -1]
    return 100 * float(there.mean()) if there.size else 0.0


def of_run(folder: Path, figures: List[str]) -> Dict[str, np.ndarray]:
    """What a finished run left of each figure."""
    found = {}
    if 'mIoU' in figures:
        found['mIoU'] = np.load(folder / COUNTS)
    if 'AP' in figures:
        found['AP'] = resampled_ap(folder / 'boxes.gt.json', folder / 'boxes.bbox.json')
    return found
