"""Makes the segments of a set of images: tools/make_segments.py DATA OUT --generator NAME."""

import argparse
import os
import time
from typing import Optional, Sequence

from mssl_plugins.commands.options import Settings, add_split
from mssl_plugins.errors import require, unknown


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line of ``tools/make_segments.py``."""
    parser = argparse.ArgumentParser(
        prog='make_segments.py',
        description='Makes the segments of a set of images, once, off '
        'line. Started again it goes on where it stopped.',
        epilog='A mistake gets one line; MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument(
        'data',
        help='a folder of images, packed images (.npz), or a config, '
        'path or shipped name, whose images are taken',
    )
    parser.add_argument('out', help='the segment store, a folder')
    parser.add_argument('--generator', metavar='NAME', help='felzenszwalb, slic, annotations, sam')
    parser.add_argument(
        '--weights',
        nargs='+',
        metavar='FILE',
        help='for sam: a checkpoint of '
        'segment_anything (.pth), or encoder and decoder as ONNX files, or '
        'their folder',
    )
    parser.add_argument(
        '--annotations',
        metavar='PATH',
        help='for annotations: a COCO file or a '
        "folder of label images; default: the samples' own masks",
    )
    parser.add_argument(
        '--options',
        nargs='+',
        action=Settings,
        default={},
        metavar='KEY=VALUE',
        help='options of the generator, such as points_per_side=16 or scale=0.05',
    )
    add_split(parser)
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='processes; default: one per core (sam: one process with all threads)',
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='make nothing; say which images lack segments, and exit with 1 if there are any',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Makes or checks the segments.

    Returns:
        int: The exit status: 0, or 1 if ``--check`` found a fault.

    Raises:
        ValueError: For an unknown generator, or an option that does not fit it.
    """
    args = parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mssl_plugins.segments.build import check, make
    from mssl_plugins.segments.generators import GENERATORS
    from mssl_plugins.segments.image_set import find_images
    from mssl_plugins.segments.store import first_names

    if not args.check and args.generator not in GENERATORS:
        raise unknown(args.generator, GENERATORS, '--generator')
    for option, owner in (('weights', 'sam'), ('annotations', 'annotations')):
        if getattr(args, option) and args.generator != owner:
            raise ValueError(f'--{option} is for --generator {owner}, not {args.generator}')
    if args.workers is not None and args.workers < 0:
        raise ValueError(f'--workers must be 0 or more, got {args.workers}')
    images = find_images(args.data, args.split)
    if args.check:
        faults = check(images, args.out)
        print('\n'.join(faults) or f'all {len(images)} images have segments in {args.out}')
        return 1 if faults else 0
    workers, options = args.workers, dict(args.options)
    if workers is None:
        workers = 0 if args.generator == 'sam' else len(os.sched_getaffinity(0))
    if args.weights:
        options['weights'] = args.weights
    if args.annotations:
        options['annotations'] = args.annotations
    if args.generator == 'sam' and workers:
        options.setdefault('threads', max(len(os.sched_getaffinity(0)) // workers, 1))
    begin = time.monotonic()
    unreadable = make(images, args.out, args.generator, options, workers)
    print(f'{len(images)} images have segments in {args.out}, {time.monotonic() - begin:.1f} s')
    if unreadable:
        print(f'{len(unreadable)} could not be read and have none: {first_names(unreadable, 10)}')
    return 0
