"""The views that a config's pipeline makes of an image, with boxes and segments."""

import argparse
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mssl_plugins.catalogue import find
from mssl_plugins.config import first_part
from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.registry import DATASETS, TRANSFORMS
from mssl_plugins.visualization.canvas import (
    draw_boxes,
    draw_segments,
    find_images,
    row_names,
    save_image,
    sheet,
)

COLORS = (
    (60, 160, 255),
    (255, 160, 0),
    (60, 200, 90),
    (200, 80, 220),
    (240, 220, 40),
    (0, 200, 200),
    (255, 120, 160),
    (140, 100, 60),
    (120, 120, 120),
    (0, 0, 0),
)


def row(results: dict, image: np.ndarray, boxes=None, segments=None) -> list:
    """The image with every crop's frame, then each view, framed in its crop's color.

    Args:
        results (dict): The output of ``mssl_plugins.Views``.
        image (np.ndarray): The original image, uint8 RGB.
        boxes (np.ndarray, optional): (n, 4), x0, y0, x1, y1 in px of the image.
            Defaults to None.
        segments (np.ndarray, optional): (H, W) label map of the image. Defaults to
            None.

    Returns:
        list: uint8 RGB tiles.
    """
    first = image if segments is None else draw_segments(image, segments)
    for v, box in enumerate(results['view_boxes']):  # each view's crop in its color
        color, thickness = COLORS[v % len(COLORS)], max(image.shape[0] // 150, 1)
        first = draw_boxes(first, [box], color=color, thickness=thickness)
    if boxes is not None:
        first = draw_boxes(first, boxes, thickness=max(image.shape[0] // 150, 1))
    tiles = [first]
    for v, view in enumerate(results['img']):
        thickness = max(view.shape[0] // 60, 1)
        if results.get('view_segments') is not None:
            view = draw_segments(view, np.asarray(results['view_segments'][v]))
        if results.get('view_bboxes') is not None:
            view = draw_boxes(
                view, results['view_bboxes'][v], thickness=max(view.shape[0] // 100, 1)
            )
        size = view.shape[1::-1]
        view = draw_boxes(view, [(0, 0, *size)], COLORS[v % len(COLORS)], thickness)
        tiles.append(view)
    return tiles


def run(args: argparse.Namespace) -> None:
    """Shows the views that a config makes of images.

    Raises:
        ValueError: If the config's pipeline has none of our view transforms.
    """
    cfg = Config.fromfile(str(find(args.config)))
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    dataset_cfg = first_part(cfg.train_dataloader.dataset)
    pipeline = [t for t in dataset_cfg.pipeline if not t.type.endswith(('PackViews', 'PackInputs'))]
    if not any(t.type.startswith('mssl_plugins.') for t in pipeline):
        raise ValueError(f'{args.config}: its pipeline has none of our view transforms')
    transforms = [TRANSFORMS.build(t) for t in pipeline]
    if args.images:
        files = find_images(args.images, args.number)
        samples = [dict(img=read_rgb(str(f)), img_path=str(f)) for f in files]
        names = row_names(args.images, files)
    else:
        dataset = DATASETS.build(dict(dataset_cfg, pipeline=[]))
        samples = [dataset[i] for i in range(min(args.number, len(dataset)))]
        names = [Path(sample.get('img_path') or '').name for sample in samples]
    rows = []
    for i, sample in enumerate(samples):
        sample['sample_idx'] = SampleIndex(i, seed=args.seed, epoch=0)
        if 'img' not in sample:
            sample['img'] = read_rgb(sample['img_path'])
        image, boxes = sample['img'], sample.get('gt_bboxes')
        results = dict(sample)
        for transform in transforms:
            results = transform(results)
        rows.append(row(results, image, boxes, results.get('segments')))
    titles = ['image and crops'] + [f'view {v + 1}' for v in range(max(map(len, rows)) - 1)]
    save_image(args.out, sheet(rows, titles, names=names if any(names) else ()))
