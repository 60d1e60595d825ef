"""The one list of training steps, at the size of a CPU, of a GPU and of a test.

``bfloat16`` and ``compiled`` make their lines of it, ``device`` its rows.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch import nn

from benchmarks import siamese, transformers
from mssl_plugins.datasets.transforms.maskco_views import MaskCoViews
from mssl_plugins.models.backbones.vit import ViT
from mssl_plugins.registry import MODELS

Arch = Union[str, dict]
MIXMASK = dict(type='mssl_plugins.MixMask')
MASKCO = 'maskco/maskco_resnet50_8xb32-coslr-200e_in1k.py'
NAMES = {'deit-small': 'ViT-S', 'base': 'ViT-B', 'large': 'ViT-L', 'huge': 'ViT-H'}
CONFIGS = dict(
    DINO=transformers.DINO,
    MST=transformers.MST,
    iBOT=transformers.IBOT,
    MAE=transformers.MAE,
    ASL=transformers.ASL,
)
SEGMENTS = 32


class Step(NamedTuple):
    """A training step.

    Attributes:
        what (str): Method and sizes.
        method (str): Such as 'DINO'.
        batch (int): Images of a step.
        build (Callable): Makes the model.
        make (Callable): Takes the model and, by keyword, ``amp`` and ``device``;
            returns what makes one step.
    """

    what: str
    method: str
    batch: int
    build: Callable[[], nn.Module]
    make: Callable[..., Callable[[], None]]

    def ready(self, amp: bool = False, device: str = 'cpu') -> Callable[[], None]:
        """A fresh model's step."""
        return self.make(self.build(), amp=amp, device=device)


class Size(NamedTuple):
    """The sizes at which the steps are measured.

    Attributes:
        depth (int): Depth of ResNets.
        pair (Tuple[int, int]): Side in px and number of the images of two-view methods.
        arch (str | dict): ``arch`` of DINO's, MST's and iBOT's ViT.
        crops (List[int]): Sides in px of the views of these methods.
        crop_batch (int): Number of their images.
        mae (str | dict): ``arch`` of MAE's and ASL's ViT.
        view (Tuple[int, int]): Side in px and number of their images.
        less (bool): Whether heads and decoders have few channels, for tests.
    """

    depth: int
    pair: Tuple[int, int]
    arch: Arch
    crops: List[int]
    crop_batch: int
    mae: Arch
    view: Tuple[int, int]
    less: bool = False


MINI = dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32)
SIZES = dict(
    cpu=Size(18, (96, 32), 'deit-small', transformers.VIEWS, 4, 'base', (224, 8)),
    gpu=Size(50, (224, 64), 'base', transformers.VIEWS, 32, 'base', (224, 128)),
    tiny=Size(18, (64, 4), MINI, [32] * 2 + [16] * 2, 4, MINI, (32, 4), less=True),
)


def network(model: dict, arch: Arch, px: int, less: bool = False, patch: int = 16) -> dict:
    """A ViT method's model of a config, with another network."""
    dim = arch['embed_dims'] if isinstance(arch, dict) else ViT.arch_zoo[arch]['embed_dims']
    model.backbone.update(arch=arch, img_size=px, patch_size=patch)
    if 'head' in model:
        model.head.in_channels = dim
        if less:
            model.head.update(hidden_channels=32, bottleneck_channels=16, out_channels=64)
    neck = model.get('neck', {})
    if 'embed_dim' in neck:
        neck.update(embed_dim=dim, patch_size=patch, num_patches=(px // patch) ** 2)
        if less:
            neck.update(decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=2)
    elif neck:
        neck.update(in_channels=dim, patch_size=patch)
        if less:
            neck.widths = (8, 8, 8, 8)
    return model


def vit_step(
    method: str,
    arch: Arch,
    px: List[int],
    batch: int,
    less: bool = False,
    samples: Optional[Callable[[], list]] = None,
    patch: int = 16,
    **changes,
) -> Step:
    """A step of a method of :data:`CONFIGS` on views with these sides in px.

    ``changes`` go into the model's config, those of ``backbone`` into the backbone's.
    """

    def build():
        model = network(transformers.config(CONFIGS[method]), arch, px[0], less, patch)
        model.backbone.update(changes.get('backbone', {}))
        model.update({key: value for key, value in changes.items() if key != 'backbone'})
        return MODELS.build(model)

    def make(model, amp=False, device='cpu'):
        given = samples() if samples else None
        return transformers.step(model, transformers.images(px, batch), given, amp, device)

    sides = ' + '.join(
        f'{px.count(side)} x {side}' if len(px) > 1 else f'{side}' for side in dict.fromkeys(px)
    )
    name = NAMES.get(arch, 'ViT') if isinstance(arch, str) else 'ViT'
    where = f'{name}/{patch}, {sides} px, batch {batch}'
    return Step(f'{method} step, {where}', method, batch, build, make)


def segment_maps(px: List[int], batch: int, number: int = SEGMENTS) -> list:
    """Data samples with a map of random segments for each view."""
    g = torch.Generator().manual_seed(0)
    draw = [
        torch.randint(0, number + 1, (batch, side // 16, side // 16), generator=g)
        .repeat_interleave(16, 1)
        .repeat_interleave(16, 2)
        for side in px
    ]
    return [dict(view_segments=[view[i] for view in draw]) for i in range(batch)]


def guided(method: str, arch: Arch, px: List[int], batch: int, number: int = SEGMENTS, less=False):
    """A step with a bias by segments, which acts from the start."""
    step = vit_step(
        method,
        arch,
        px,
        batch,
        less,
        lambda: segment_maps(px, batch, number),
        type=f'mssl_plugins.MaskGuided{method}',
        num_segments=number,
        backbone=dict(mask_bias=dict(positive=True, negative=False, init=0.1)),
    )
    return step._replace(
        what=step.what.replace(' step', f' step with {number} segments as a bias', 1),
        method=f'mask-guided {method}',
    )


def siamese_step(base: str, size: Size, **extra) -> Step:
    """A step of a base of two views, or of MixMask on it."""
    (px, batch), queue = size.pair, siamese.QUEUE if size.depth < 50 else 65536

    def build():
        return MODELS.build(
            dict(siamese.config(base, size.depth, queue), channels_last=True, **extra)
        )

    def make(model, amp=False, device='cpu'):
        return siamese.step(model, amp, device=device, batch=batch, size=px)

    name = siamese.NAMES[base]
    what = f'MixMask step on {name}' if extra else f'{name} step'
    where = f'ResNet-{size.depth}, {px} px, batch {batch}'
    return Step(f'{what}, {where}', 'MixMask' if extra else name, batch, build, make)


def maskco_step(size: Size) -> Step:
    """A step of MaskCo's config, with boxes as its transform draws them."""
    px, batch = size.pair

    def build():
        model = transformers.config(MASKCO)
        model.backbone.depth = size.depth
        if size.depth < 50:
            model.neck.in_channels = model.head.in_channels = 512
        if size.less:
            model.neck.hidden_channels = model.head.hid_channels = 32
        return MODELS.build(model)

    def make(model, amp=False, device='cpu'):
        transform = MaskCoViews(
            [dict(num=2, size=px)], num_boxes=16, stride=32, min_cells=1 + (px >= 224)
        )
        samples = []
        for i in range(batch):
            rng = np.random.default_rng(i)
            drawn = transform(dict(img=np.zeros((px, px, 3), np.uint8), rng=rng))
            boxes = {key: torch.from_numpy(drawn[key]) for key in ('masked_box', 'key_boxes')}
            samples.append(DataSample())
            samples[-1].set_data(boxes)
        return siamese.step(model, amp, device=device, batch=batch, size=px, samples=samples)

    where = f'ResNet-{size.depth}, {px} px, batch {batch}'
    return Step(f'MaskCo step, {where}', 'MaskCo', batch, build, make)


def steps(name: str) -> Dict[str, Step]:
    """Every method's step at a size of :data:`SIZES`, under its ``what``."""
    size = SIZES[name]
    vits = [
        vit_step(method, size.arch, size.crops, size.crop_batch, size.less)
        for method in ('DINO', 'MST', 'iBOT')
    ]
    px, batch = size.view
    found = [
        *(siamese_step(base, size) for base in siamese.NAMES),
        siamese_step('moco', size, mixing=MIXMASK),
        maskco_step(size),
        *vits,
        guided('DINO', size.arch, size.crops, size.crop_batch, less=size.less),
        *(vit_step(method, size.mae, [px], batch, size.less) for method in ('MAE', 'ASL')),
    ]
    return {step.what: step for step in found}
