"""How a step's time and memory grow: ``python tools/scale.py axes --only batch tokens``.

Every point is a network of its own, built anew in each round; the rounds pass
through the points up and down in turn, so that a change of the machine's speed
meets all of them.  Seconds are medians; MiB are what a step takes at its peak,
beyond what is held between steps.  ``--write`` keeps the points in
docs/scale.json and writes the section of docs/scale.md.
"""

import argparse
import gc
import statistics
import tempfile
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from benchmark import memory, timed
from benchmarks import siamese, transformers
from benchmarks.steps import SIZES, guided, siamese_step, vit_step
from benchmarks.views import MOCO, MULTI_CROP, photos
from evidence_tool.pieces import machine
from mssl_plugins.datasets.transforms import PackViews, Views
from mssl_plugins.models.losses.patch_contrast import PatchContrast
from mssl_plugins.registry import MODELS
from scaling import kept, processes

ARCH = 'deit-small'
LEAST = 0.2  # seconds that a point is timed for in a round
PHOTO = (500, 375)


class Curve(NamedTuple):
    """Cost against one number.

    Attributes:
        axis (str): Such as 'batch'.
        what (str): What is measured.
        unit (str): Of the number.
        values (Tuple[int, ...]): Of the number, rising.
        ready (Callable): Takes a value; returns what is measured.
        size (Callable): The number of a value. Defaults to the value itself.
    """

    axis: str
    what: str
    unit: str
    values: Tuple[int, ...]
    ready: Callable[[int], Callable[[], None]]
    size: Callable[[int], int] = int


def plain_vit(px: int) -> Callable[[], None]:
    """Forward and backward of a ViT-S that sees all patches of two images."""
    network = dict(type='mssl_plugins.ViT', arch=ARCH, img_size=px, patch_size=16)
    model = MODELS.build(network)
    model.train()
    x = transformers.normalized(transformers.images([px], 2))[0]
    return transformers.trained(
        lambda: model.forward_tokens(x).square().mean(), model.parameters(), fused=True
    )


def contrast(batch: int) -> Callable[[], None]:
    """ASL's contrast alone: 147 hidden patches an image of 224 px, all of a batch negatives."""
    loss, shape = PatchContrast(negatives='batch'), (batch, 147, 768)
    prediction = torch.randn(shape, requires_grad=True)
    label, masked = torch.randn(shape), torch.arange(147).expand(batch, -1)
    return lambda: loss(prediction, label, masked).backward()


def moco(queue: int) -> Callable[[], None]:
    """MoCo's step with a queue of so many keys."""
    size = SIZES['cpu']._replace(pair=(64, 32))
    model = MODELS.build(dict(siamese.config('moco', queue=queue), channels_last=True))
    return siamese_step('moco', size).make(model)


def patches(px: int) -> int:
    """Patches of 16 px of a square image."""
    return (px // 16) ** 2


PX = (64, 96, 128, 192, 256, 320)
CURVES = [
    Curve(
        'batch',
        'MAE step, ViT-S/16, 96 px',
        'images',
        (1, 2, 4, 8, 16, 32),
        lambda batch: vit_step('MAE', ARCH, [96], batch).ready(),
    ),
    Curve('batch', "ASL's contrast alone, 224 px", 'images', (2, 4, 8, 16, 32), contrast),
    Curve(
        'tokens',
        'MAE step, ViT-S/16, 2 images',
        'patches',
        PX,
        lambda px: vit_step('MAE', ARCH, [px], 2).ready(),
        patches,
    ),
    Curve(
        'tokens',
        'ViT-S/16 forward and backward, 2 images, all patches seen',
        'patches',
        PX,
        plain_vit,
        patches,
    ),
    *(
        Curve(
            'segments',
            f'mask-guided {method} step, ViT-S/16, 224 px, 2 images',
            'segments',
            (1, 4, 16, 64, 256),
            lambda number, method=method: guided(method, ARCH, [224], 2, number).ready(),
        )
        for method in ('MAE', 'ASL')
    ),
    Curve(
        'queue',
        'MoCo v2 step, ResNet-18, 64 px, 32 images, keys of 128 values',
        'keys',
        (1024, 4096, 16384, 65536, 262144),
        moco,
    ),
]
AXES = (*dict.fromkeys(curve.axis for curve in CURVES), 'loader', 'processes')


def measure(curve: Curve, rounds: int) -> List[Tuple[int, float, float]]:
    """(number, seconds, MiB) of each value."""
    seconds: Dict[int, List[float]] = {value: [] for value in curve.values}
    peaks: Dict[int, float] = {}
    for number in range(rounds):
        for value in curve.values[:: -1 if number % 2 else 1]:
            call = curve.ready(value)
            call()  # makes the optimizer's state
            took = [timed(call)]
            while sum(took) < LEAST:
                took.append(timed(call))
            seconds[value].append(statistics.median(took))
            if value not in peaks:
                peaks[value] = memory(call)
            del call
            gc.collect()
    return [(curve.size(v), statistics.median(seconds[v]), peaks[v]) for v in curve.values]


def loader(folder: str, rounds: int, repeat: int = 5) -> Dict[str, float]:
    """Images a second of one core from JPEGs: read and decoded only, and the views of recipes."""
    import cv2

    from mssl_plugins.datasets.image_io import read_rgb
    from mssl_plugins.datasets.sampler import SampleIndex

    cv2.setNumThreads(0)  # as in a loader's worker
    files, pack = photos(folder, PHOTO) * repeat, PackViews()
    mae = [dict(num=1, size=224, scale=(0.2, 1.0), interpolation='bicubic')]

    def decode():
        for file in files:
            read_rgb(file)

    def made(groups):
        views = Views(views=groups)

        def call():
            for i, file in enumerate(files):
                pack(views(dict(img_path=file, sample_idx=SampleIndex(i, seed=0, epoch=0))))

        return call

    sides = {
        'decoded': decode,
        'MAE, ASL': made(mae),
        'MoCo v2': made(MOCO),
        'DINO, MST': made(MULTI_CROP),
    }
    for call in sides.values():
        call()
    took = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            took[name].append(timed(call))
    return {name: len(files) / statistics.median(values) for name, values in took.items()}


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='scale.py axes',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--only', nargs='+', choices=AXES, default=AXES, help='Default: all')
    parser.add_argument('--rounds', type=int, default=3, help='of each point. Default: 3')
    parser.add_argument('--values', type=int, nargs='+', help='other values, of one axis')
    parser.add_argument('--write', action='store_true', help='docs/scale.json and docs/scale.md')
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f'--rounds {args.rounds}: must be 1 or more')
    if args.values:
        if len(args.only) != 1 or args.only[0] in ('loader', 'processes'):
            parser.error('--values goes with --only and one of batch, tokens, segments, queue')
        if min(args.values) < 1:
            parser.error(f'--values {min(args.values)}: must be 1 or more')
        if args.only[0] == 'tokens' and any(v % 16 for v in args.values):
            parser.error('--values of tokens are sides of images in px, multiples of 16')
    return args


def main(argv: Optional[Sequence[str]] = None) -> None:
    """``tools/scale.py axes ARGUMENTS``."""
    args = parse(argv)
    torch.set_num_threads(1)
    where = f'{machine("cpu")}, 1 thread'
    for axis in args.only:
        if axis == 'processes':
            found = dict(machine=where, rows=processes.measure(args.rounds))
        elif axis == 'loader':
            with tempfile.TemporaryDirectory() as folder:
                found = dict(machine=where, rates=loader(folder, args.rounds))
        else:
            found = dict(machine=where, curves=[])
            for curve in CURVES:
                if curve.axis == axis:
                    if args.values:
                        curve = curve._replace(values=tuple(sorted(args.values)))
                    points = measure(curve, args.rounds)
                    found['curves'].append(dict(what=curve.what, unit=curve.unit, points=points))
        print('\n'.join(kept.axis_lines(axis, found)), flush=True)
        if args.write:
            kept.keep(axis, found)
    if args.write:
        kept.write_axes()
