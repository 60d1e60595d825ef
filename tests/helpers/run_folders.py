"""Folders as training runs leave them, written without training."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CONFIG = """
catalogue = dict(method='mixmask', base='mocov2', data='folder', epochs=3, expected='nothing')
model = dict(type='mssl_plugins.MoCo', mixing=dict(type='mssl_plugins.MixMask'),
             backbone=dict(type='mmpretrain.ResNet', depth=50))
train_dataloader = dict(batch_size=8, dataset=dict(
    type='mssl_plugins.ImageFolder', data_root={root!r}))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.03))
randomness = dict(seed=7)
"""


def run_folder(folder: Path, factor: float = 1.0, name: str = 'a figure') -> Path:
    """Losses 3, 2, 1 times ``factor``, k-NN 0.5, measures, two figures of one ``name``."""
    data = folder / '20260101_000000/vis_data'
    (data / 'vis_image').mkdir(parents=True)
    (folder / 'figures').mkdir()
    (data / 'config.py').write_text(CONFIG.format(root=f'/data/{name}'))
    rows = [
        dict(
            loss=factor * (3 - i),
            lr=0.03,
            time=0.5,
            epoch=i + 1,
            iter=10 * (i + 1),
            step=10 * i + 10,
        )
        for i in range(3)
    ]
    rows.append({'knn/top1_k20': 0.5, 'collapse/std': 0.8, 'step': 30})
    lines = [json.dumps(row) for row in rows]
    (data / 'scalars.json').write_text('\n'.join([*lines, '{"loss": 3.0, "st']))  # killed here
    rng = np.random.default_rng(0)
    for epoch in (0, 3):
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'figures/pca_{epoch}.png')
    noise = rng.integers(0, 256, (900, 1400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(data / 'vis_image/large_30.png')
    measures = dict(std=0.9, rankme=20.0, lidar=9.0, alignment=0.5, uniformity=-2.0, retrieval=0.6)
    (folder / 'monitor.json').write_text(
        json.dumps(
            dict(
                images=64,
                not_measured={'figure of boxes': f'{name} has none'},
                measured=[
                    dict(epoch=0, iter=0, figures={name: 'figures/pca_0.png'}, **measures),
                    dict(
                        epoch=3,
                        iter=30,
                        figures={name: 'figures/pca_3.png', 'outside': '../secret.png'},
                        **{**measures, 'rankme': 30.5},
                    ),
                ],
            )
        )
    )
    (folder / 'report.json').write_text(
        json.dumps(
            dict(
                baselines=dict(raw_pixels=0.25, initial_weights=0.125),
                classes=['cat', name],
                versions=dict(torch='2.11.0'),
                device='a processor',
                images=80,
                seconds=90,
            )
        )
    )
    (folder / 'epoch_3.pth').write_bytes(b'')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_3.pth'))
    return folder
