"""A long training on N machines: ``python tools/scale.py plan --images 1.28e6 --method MAE``.

Operations are counted, bytes of gradients follow from the parameters, the rate
of reading and decoding a JPEG, views included, was measured on one core (docs/scale.json), as were
the start and the memory of a list of files.  All else is an assumption that an option
changes: nothing of it was measured on a GPU or on a network.

The global batch stays the same, so more machines mean fewer images a GPU.  A step
takes as long as the slowest of: computing and what of the gradients' sum the
backward pass does not hide; the loader; the disk.
"""

import argparse
import math
from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

from benchmarks.operations import operations
from benchmarks.steps import NAMES, vit_step
from benchmarks.transformers import VIEWS
from mssl_plugins.errors import ConfigError
from mssl_plugins.models.backbones.vit import ViT
from scaling import kept, processes

METHODS = dict(MAE=[224], ASL=[224], DINO=VIEWS, MST=VIEWS)
BATCHES = dict(MAE=4096, ASL=4096, DINO=1024, MST=1024)  # of the shipped recipes
SHARD = 1e9  # bytes of a tar file
BUCKET = 25 * 2**20  # bytes that DDP sums at once
MEASURED_PIXELS = 500 * 375
ARCHS = ('deit-small', 'base', 'large', 'huge')
LOW = 1.5  # less, from twice the machines, is no scaling any more


class Costs(NamedTuple):
    """Of one method and network; operations of an image are ``fixed + by_batch x images a GPU``."""

    fixed: float
    by_batch: float
    gradients: float  # bytes

    def operations(self, batch: float) -> float:
        """Of one image."""
        return self.fixed + self.by_batch * batch


class Row(NamedTuple):
    """A number of machines."""

    machines: int
    images_a_gpu: float
    compute: float  # seconds of a step
    exposed: float  # of the sum of gradients, seconds that nothing hides
    loader: float  # seconds that reading and decoding need for a step
    disk: float
    step: float
    hours: float
    network: float  # bytes a step that a machine sends to others
    reading: float  # bytes a second that a machine reads

    @property
    def efficiency(self) -> float:
        """Fraction of the time in which GPUs compute."""
        return self.compute / self.step

    @property
    def limit(self) -> str:
        """What takes the rest of the time."""
        if self.step < 1.01 * self.compute:
            return 'computing'
        slowest = max(self.loader, self.disk)
        if slowest < self.step:
            return 'network'
        return 'decoding' if self.loader >= self.disk else 'disk'


@lru_cache(maxsize=None)
def costs(method: str, arch: str) -> Costs:
    """Counted on networks of one and two blocks: each further block adds the same."""
    settings, patch = ViT.arch_zoo[arch], 14 if arch == 'huge' else 16
    px = [-(-side // patch) * patch for side in METHODS[method]]

    def counted(blocks: int, batch: int) -> Tuple[float, float]:
        step = vit_step(method, dict(settings, num_layers=blocks), px, batch, patch=patch)
        model = step.build()
        trained = processes.size(p for p in model.parameters() if p.requires_grad)
        return operations(step.make(model)) / batch, trained

    (one, small), (two, larger), (more, _) = counted(1, 2), counted(2, 2), counted(1, 4)
    rest = settings['num_layers'] - 1
    by_batch = (more - one) / 2  # ASL's contrast with all images of a GPU
    return Costs(one + rest * (two - one) - 2 * by_batch, by_batch, small + rest * (larger - small))


def seconds_an_image(method: str, pixels: float) -> float:
    """Of one core: decoding in proportion to the pixels, and views."""
    rates = kept.load()['loader']['rates']
    whole = next(rate for name, rate in rates.items() if method in name.split(', '))
    decode = 1 / rates['decoded']
    return 1 / whole + decode * (pixels / MEASURED_PIXELS - 1)


def row(args: argparse.Namespace, machines: int) -> Row:
    """What so many machines need."""
    found = costs(args.method, args.arch)
    gpus = machines * args.gpus
    batch = args.batch / gpus
    rate = args.utilization * args.tflops * 1e12
    compute = batch * found.operations(batch) / rate
    inside = 2 * (args.gpus - 1) / args.gpus * found.gradients / (args.gpu_link * 1e9)
    network = 2 * (machines - 1) / machines * found.gradients
    rounds = math.ceil(found.gradients / BUCKET) * 2 * math.ceil(math.log2(max(gpus, 1)))
    summed = inside + network / (args.link * 1e9 / 8) + rounds * args.latency * 1e-6
    exposed = max(0.0, summed - args.overlap * compute)
    own = args.batch / machines  # images of a step that a machine reads
    loader = own * seconds_an_image(args.method, args.pixels * 1e6) / args.cores
    disk = own * args.bytes / (args.disk * 1e9)
    step = max(compute + exposed, loader, disk)
    hours = args.epochs * args.images / args.batch * step / 3600
    return Row(
        machines,
        batch,
        compute,
        exposed,
        loader,
        disk,
        step,
        hours,
        network,
        own * args.bytes / step,
    )


def stop(args: argparse.Namespace) -> str:
    """Where it stops scaling, in words: where twice the machines are hardly faster."""
    machines = 1
    while args.batch / (2 * machines * args.gpus) >= args.least:
        gain = row(args, machines).hours / row(args, 2 * machines).hours
        if gain < LOW:
            return (
                f'after {machines:,} machine{"s" if machines > 1 else ""}: twice as many are '
                f'{gain:.2f} times as fast ({row(args, 2 * machines).limit})'
            )
        machines *= 2
    return (
        f'after {machines:,} machine{"s" if machines > 1 else ""}: twice as many have fewer '
        f'than {args.least:g} images a GPU'
    )


def start(images: float) -> Tuple[float, float, float]:
    """(seconds of the first start, of later ones, bytes of the list), from the largest sets.

    Seconds grow on as between the two largest sets that were measured.
    """
    curves = (curve['points'] for curve in kept.load()['images']['curves'])
    (fewer, *low, _), (number, *high, each) = max(curves, key=lambda points: points[-1][0])[-2:]
    further = math.log(images / number) / math.log(number / fewer)
    first, second = (most * (most / less) ** further for less, most in zip(low, high))
    return first, second, each * images


def lines(args: argparse.Namespace) -> List[str]:
    """The plan as markdown."""
    found, size = costs(args.method, args.arch), args.images * args.bytes
    first, second, held = start(args.images)
    name = NAMES.get(args.arch, args.arch)
    per = found.operations(args.batch / (args.machines[0] * args.gpus))
    text = [
        f'{args.method}, {name}, {args.images:,.0f} images, {args.epochs:g} epochs, batch '
        f'{args.batch:,}: {per / 1e9:,.0f} GFLOP an image, {found.gradients / 1e6:,.0f} MB of '
        f'gradients, {size / 1e12:.3g} TB on disk ({math.ceil(size / SHARD):,} shards of 1 GB '
        f'or {args.images:,.0f} files), a list of {held / 1e9:.2g} GB in memory, started in '
        f'{first:,.0f} s, later in {second:,.1f} s. It stops scaling {stop(args)}.',
        '',
        '| machines | images a GPU | step, s | of it computing | hours | network, GB a step '
        '| disk, MB/s | GPUs compute | limit |',
        '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ]
    for machines in args.machines:
        if args.batch / (machines * args.gpus) < 1:
            text.append(f'| {machines:,} | below 1 |' + ' |' * 6 + ' batch |')
            continue
        r = row(args, machines)
        text.append(
            f'| {machines:,} | {r.images_a_gpu:.4g} | {r.step:.3g} | {r.compute:.3g} '
            f'| {kept.short(r.hours)} | {r.network / 1e9:.2g} | {r.reading / 1e6:,.0f} '
            f'| {r.efficiency:.0%} | {r.limit} |'
        )
    return text


OPTIONS = (  # name, default, what
    ('--gpus', 8, 'of a machine'),
    ('--tflops', 989.0, "a GPU's nominal rate in bfloat16; an H100's data sheet"),
    ('--utilization', 0.35, 'fraction of it that a step reaches; an assumption'),
    ('--link', 400.0, 'Gbit/s of a machine to the others; an assumption'),
    ('--gpu-link', 450.0, 'GB/s of a GPU to those of its machine; NVLink 4, an assumption'),
    ('--latency', 20.0, 'microseconds of a message; an assumption'),
    ('--overlap', 0.5, 'fraction of computing beside which gradients are summed; an assumption'),
    ('--cores', 128, 'of a machine, for decoding; an assumption'),
    ('--disk', 5.0, 'GB/s that a machine reads; an assumption'),
    ('--bytes', 110e3, 'of an image file; an assumption'),
    ('--pixels', 0.1875, 'million pixels of an image; as measured, 500 x 375'),
    ('--least', 8.0, 'images a GPU below which it is not kept busy; an assumption'),
)


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='scale.py plan',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--images', type=float, default=1281167, help='Default: ImageNet-1K')
    parser.add_argument('--epochs', type=float, default=100.0)
    parser.add_argument('--method', choices=METHODS, default='MAE')
    parser.add_argument('--arch', choices=ARCHS, default='base')
    parser.add_argument('--batch', type=int, help="of all GPUs. Default: the recipe's")
    parser.add_argument('--machines', type=int, nargs='+', default=[1, 8, 64])
    for name, default, what in OPTIONS:
        parser.add_argument(
            name, type=type(default), default=default, help=f'{what}. Default: {default:g}'
        )
    parser.add_argument('--write', action='store_true', help='all plans of docs/scale.md')
    args = parser.parse_args(argv)
    args.batch = BATCHES[args.method] if args.batch is None else args.batch
    for name in ('images', 'epochs', 'batch', *(option[2:] for option, *_ in OPTIONS)):
        value = getattr(args, name.replace('-', '_'))
        zero = name in ('overlap', 'latency')
        if not (value > 0 or zero and value == 0) or math.isinf(value):
            parser.error(f'--{name} {value:g}: must be {"0 or more" if zero else "more than 0"}')
    if args.images < 1:
        parser.error(f'--images {args.images:g}: must be 1 or more')
    for name in ('utilization', 'overlap'):
        if getattr(args, name) > 1:
            parser.error(f'--{name} {getattr(args, name):g}: must be at most 1')
    if min(args.machines) < 1:
        parser.error(f'--machines {min(args.machines)}: must be 1 or more')
    return args


OPENIMAGES = '--bytes 300000 --pixels 0.79 --machines 1 8 64'
PLANS = (  # title, arguments
    ('ImageNet-1K', '--method MAE --epochs 800'),
    ('ImageNet-1K', '--method ASL --epochs 800'),
    ('ImageNet-1K', '--method DINO --epochs 100'),
    ('ImageNet-1K', '--method MST --epochs 100'),
    ('OpenImages, images with boxes', f'--images 1743042 --method ASL --epochs 800 {OPENIMAGES}'),
    ('OpenImages, all', f'--images 9011219 --method ASL --epochs 200 {OPENIMAGES}'),
    (
        'A thousand million images',
        '--images 1e9 --method MAE --arch large --epochs 5 --batch 16384 --machines 1 8 64 256',
    ),
    (
        'A thousand million images',
        '--images 1e9 --method DINO --arch large --epochs 5 --batch 8192 --machines 1 8 64 128',
    ),
)
NOTE = (
    'Computed from the operations of a step (counted, forward and backward, teacher included), '
    'the bytes of its gradients, the decoding and the lists measured above, and assumptions, '
    'each an option. Nothing was measured on a GPU or on a network of machines: take hours as '
    'orders of magnitude, and give the options your own figures. The global batch stays that of '
    'the recipe, so more machines have fewer images each; gradients are summed by DDP. Each '
    'machine reads a disk at its full rate: a shared store must give the sum. Starts are from a '
    'list file; beyond those measured, their time grows as between the two longest. It stops '
    'scaling where twice the machines are less than 1.5 times as fast, or leave too few images a '
    'GPU. Images larger '
    'than those measured take longer to decode, in proportion to their pixels.'
)


def section() -> List[str]:
    """Of docs/scale.md."""
    text = ['## The plan', '', NOTE, '', '| option | default | what |', '| --- | --- | --- |']
    text += [f'| `{name}` | {default:g} | {what} |' for name, default, what in OPTIONS]
    for title, argv in PLANS:
        text += ['', f'### {title}: {argv.split()[argv.split().index("--method") + 1]}', '']
        text += ['```bash', f'python tools/scale.py plan {argv}', '```', '']
        text += lines(parse(argv.split()))
    return text


def main(argv: Optional[Sequence[str]] = None) -> None:
    """``tools/scale.py plan ARGUMENTS``."""
    args = parse(argv)
    if args.method == 'MST' and args.arch == 'huge':
        raise ConfigError('', "--arch huge: MST's decoder takes patches of 2^n px, these have 14")
    if args.write:
        kept.write_section('plan', section(), kept.PAGE)
        return
    print('\n'.join(lines(args)))
