"""Tiny Transformer methods and their batches, for runs of 2 processes against 1."""

import torch
from mmpretrain.structures import DataSample

from mssl_plugins.models.selfsup.ibot import IBOT
from mssl_plugins.models.selfsup.mae import MAE
from mssl_plugins.registry import MODELS

GLOBAL, WIDTH = 8, 16
PLAIN = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=32),
)
GUIDED = dict(PLAIN, mask_bias=dict(positive=True, negative=True))
HEAD = dict(
    type='mssl_plugins.DINOHead',
    in_channels=WIDTH,
    out_channels=12,
    hidden_channels=16,
    bottleneck_channels=8,
)
DECODER = dict(
    type='mssl_plugins.MAEDecoder',
    num_patches=16,
    patch_size=4,
    embed_dim=WIDTH,
    decoder_embed_dim=8,
    decoder_depth=1,
    decoder_num_heads=2,
)
PIXELS = dict(type='mssl_plugins.PixelDecoder', in_channels=WIDTH, patch_size=4, widths=(8, 6))
TEACHER = dict(backbone=dict(mask_bias=GUIDED['mask_bias']))
METHODS = dict(
    DINO=dict(backbone=PLAIN, head=HEAD),
    MST=dict(
        backbone=dict(PLAIN, mask_token=True), head=HEAD, neck=dict(PIXELS, use_bn=False), q=0.25
    ),
    IBOT=dict(backbone=dict(PLAIN, mask_token=True), head=HEAD),
    MaskGuidedDINO=dict(backbone=GUIDED, head=HEAD),
    MaskGuidedDINODistill=dict(
        backbone=PLAIN, head=HEAD, teacher=dict(TEACHER, checkpoint='{folder}/MaskGuidedDINO.pth')
    ),
    MAE=dict(backbone=PLAIN, neck=DECODER),
    ASL=dict(
        backbone=PLAIN,
        neck=DECODER,
        contrast=dict(gather=True),
        layer=dict(num_heads=2, drop_rate=0.0),
    ),  # dropout has a draw of its own in each process
    MaskGuidedMAE=dict(backbone=GUIDED, neck=DECODER, mask_unit=2),
    MaskGuidedMAEDistill=dict(
        backbone=PLAIN, teacher=dict(TEACHER, checkpoint='{folder}/MaskGuidedMAE.pth')
    ),
)
EMA_TEACHERS = ('DINO', 'IBOT', 'MST', 'MaskGuidedDINO')
SINGLE = tuple(name for name in METHODS if 'MAE' in name or name == 'ASL')  # one view


def config(name, folder):
    cfg = dict(METHODS[name], type=f'mssl_plugins.{name}')
    if 'teacher' in cfg:
        cfg['teacher'] = dict(
            cfg['teacher'], checkpoint=cfg['teacher']['checkpoint'].format(folder=folder)
        )
    return cfg


def build(name, folder):
    torch.manual_seed(0)
    model = MODELS.build(config(name, folder))
    model.init_weights()
    for key, p in model.named_parameters():
        if 'mask_bias' in key and p.requires_grad:  # a bias that matters
            p.data.normal_()
    return model.double()


def batch(name, step, rows):
    """Views and samples of a step, of these rows of the global batch."""
    g = torch.Generator().manual_seed(step)
    sizes = [16] if name in SINGLE else [16, 16, 8]
    views = [torch.randn(GLOBAL, 3, s, s, generator=g, dtype=torch.float64)[rows] for s in sizes]
    maps = [torch.randint(0, 4, (GLOBAL, s, s), generator=g)[rows] for s in sizes]
    samples = []
    for i in range(len(maps[0])):
        samples.append(DataSample())
        samples[-1].set_field([m[i] for m in maps], 'view_segments')
    return views, samples


def one_mask(model, step, rows):
    """Every process takes its rows of the one mask of a step."""
    if isinstance(model, MAE):
        torch.manual_seed(step)
        kept, masked = MAE.sample_mask(model, torch.empty(GLOBAL, 0))
        model.sample_mask = lambda images, samples: (kept[rows], masked[rows])
    if isinstance(model, IBOT):
        whole = torch.rand(2, GLOBAL, 16, generator=torch.Generator().manual_seed(step)) < 0.3
        model.sample_mask = lambda views, teacher: whole[:, rows].flatten(0, 1)
