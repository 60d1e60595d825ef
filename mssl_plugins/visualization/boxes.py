"""MaskCo's two views with the masked box and the key boxes."""

import argparse
from typing import Sequence

import numpy as np
from mmengine.config import Config

from mssl_plugins.catalogue import find
from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.scenes import Scenes
from mssl_plugins.datasets.transforms.maskco_views import MaskCoViews
from mssl_plugins.registry import TRANSFORMS
from mssl_plugins.visualization import canvas

MASKED, NEGATIVE = (255, 60, 60), (60, 160, 255)


def draw_boxes(
    views: Sequence[np.ndarray],
    masked_box: np.ndarray,
    key_boxes: np.ndarray,
    tile: int = 320,
    name: str = '',
) -> np.ndarray:
    """Draws the query view, the masked query view, and the key view with its boxes.

    Args:
        views (Sequence[np.ndarray]): Query and key view, (S, S, 3) uint8 RGB.
        masked_box (np.ndarray): (4,), px of the query view.
        key_boxes (np.ndarray): (K, 4), px of the key view; the first is the
            masked region, drawn in red as in the query view.
        tile (int): Longer side of each view in px. Defaults to 320.
        name (str): Name of the image's file. Defaults to none.

    Returns:
        np.ndarray: One uint8 (H, W, 3) RGB figure.

    Raises:
        ValueError: If there are not two views.
    """
    if len(views) != 2:
        raise ValueError(f'MaskCo has 2 views, query and key, got {len(views)}')
    query, key = (canvas.enlarge(view, tile) for view in views)
    here, there = (
        np.asarray(boxes, float) * tile / max(view.shape[:2])
        for boxes, view in zip(([masked_box], key_boxes), views)
    )
    x0, y0, x1, y1 = here[0].round().astype(int)
    masked = query.copy()
    masked[y0:y1, x0:x1] = 128
    key = canvas.draw_boxes(key, there[1:], NEGATIVE, 1)
    row = [
        canvas.draw_boxes(query, here, MASKED),
        masked,
        canvas.draw_boxes(key, there[:1], MASKED),
    ]
    titles = ['query view, masked box', 'query view as seen', 'key view, box 0 and others']
    return canvas.sheet([row], titles, tile, names=[name] if name else ())


def run(args: argparse.Namespace) -> None:
    """Draws MaskCo's views with their masked and key boxes.

    Raises:
        ValueError: If the config's pipeline makes no views of MaskCo.
    """
    cfg = Config.fromfile(find(args.config))
    steps = [
        TRANSFORMS.build(step)
        for step in cfg.train_dataloader.dataset.pipeline
        if step.type.endswith('MaskCoViews')
    ]
    if not steps:
        raise ValueError(
            f'{args.config}: its pipeline has no {MaskCoViews.__name__}; configs/maskco do'
        )
    if args.images:
        files = canvas.find_images(args.images, args.rows)
        images, names = [read_rgb(str(f)) for f in files], canvas.row_names(args.images, files)
    else:
        size = steps[0].groups[0].size
        scenes = Scenes(split='train', length=args.rows, size=size, seed=args.seed)
        images, names = [scenes[i]['img'] for i in range(len(scenes))], [''] * len(scenes)
    rows = []
    for i, (image, name) in enumerate(zip(images, names)):
        out = steps[0](dict(img=image, sample_idx=SampleIndex(i, seed=args.seed, epoch=0)))
        rows.append(draw_boxes(out['img'], out['masked_box'], out['key_boxes'], name=name))
    canvas.save_image(args.out, np.concatenate(rows))
