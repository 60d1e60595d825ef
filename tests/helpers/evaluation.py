"""Labeled images, small checkpoints, and ``tools/evaluate.py`` in this process."""

import numpy as np
import torch
from mmengine.registry import MODELS, init_default_scope

VIT = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=8, num_layers=5, num_heads=2, feedforward_channels=16),
)
RESNET = dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8)


def blobs(n=160, d=12, classes=4, noise=1.5, seed=0):
    """Classes that overlap."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centers = torch.randn(classes, d, generator=torch.Generator().manual_seed(9))
    return centers[y] + noise * torch.randn(n, d, generator=g), y


def write_images(folder, classes, each, size=16, seed=0):
    """Noise on a color that tells the class."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            color = np.eye(3)[label % 3] * 160
            pixels = (color + rng.integers(0, 90, (size, size, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{i:02}.png')


def save(path, backbone, config=True, classifier=False):
    """A checkpoint as MMEngine writes it, the config's text inside."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    net = MODELS.build(dict(backbone))
    net.init_weights()
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    if classifier:
        state['head.fc.weight'] = torch.zeros(3, 8)
    meta = (
        dict(cfg=f'model = {dict(type="mssl_plugins.SimCLR", backbone=backbone)}\n')
        if config
        else {}
    )
    torch.save(dict(state_dict=state, meta=meta), path)
    return net


FAST = ('--epochs', 3, '--k', 5, 9, '--device', 'cpu')


def one_line(text, *words):
    lines = [line for line in text.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], lines[0]


def pack(path, labels, size=16):
    import cv2

    files = [
        cv2.imencode('.png', np.full((size, size, 3), 20 * i, np.uint8))[1].ravel()
        for i in range(len(labels))
    ]
    np.savez(path, data=np.concatenate(files), off=np.cumsum([0, *map(len, files)]), label=labels)
