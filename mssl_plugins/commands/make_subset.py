"""Draws a class-balanced part of a labeled set: python tools/make_subset.py DATA OUT.txt."""

import argparse
from pathlib import Path

from mssl_plugins.errors import require
from mssl_plugins.files import as_bytes, write_atomically


def main(argv=None) -> None:
    """Parses the command line, draws, writes.

    Raises:
        ValueError: Without a fraction, a number or classes; if the data have no such number
            of classes with names, or a file of classes comes alone.
    """
    parser = argparse.ArgumentParser(
        prog='make_subset.py',
        description='Draws a part of the training set, '
        'equally many images of every class, and writes it as a list: `path '
        'class` lines for `list_file=`, or with --classes alone the names of '
        'the drawn classes, one a line, for `classes=` (ImageNet-100).',
        epilog='The same seed gives the same list. A mistake gets one line; '
        'MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument(
        'data',
        help='folder of the data set: ImageNet, any folder with train/, CIFAR, Tiny-ImageNet',
    )
    parser.add_argument('out', metavar='OUT.txt', help='the list to write')
    parser.add_argument(
        '--fraction', type=float, metavar='F', help='fraction of all images: 0.01, 0.1'
    )
    parser.add_argument(
        '--per-class', type=int, metavar='N', help='number of images of each class, instead'
    )
    parser.add_argument(
        '--classes',
        metavar='N|FILE',
        help='draw N classes, or take those that a file names, one a line',
    )
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    args = parser.parse_args(argv)
    require('torch', 'mmengine', 'mmcv', 'mmpretrain')
    import numpy as np

    from mssl_plugins.datasets.labelled import (
        LabelledImages,
        balanced,
        labels_of,
        list_lines,
    )

    if not (args.fraction or args.per_class or args.classes):
        raise ValueError('give --fraction, --per-class or --classes')
    chosen = args.classes
    if chosen and chosen.isdigit():
        names = LabelledImages(args.data, 'train').CLASSES
        if not names or int(chosen) > len(names) or int(chosen) < 1:
            raise ValueError(
                f'--classes {chosen}: {args.data} has {len(names or ())} classes with names'
            )
        rng = np.random.default_rng(args.seed)
        chosen = [names[i] for i in sorted(rng.permutation(len(names))[: int(chosen)])]
    if args.fraction or args.per_class:
        dataset = LabelledImages(args.data, 'train', classes=chosen)
        indices = balanced(labels_of(dataset), args.fraction, args.per_class, args.seed)
        lines = list_lines(dataset, indices)
        what = f'{len(lines)} of {len(dataset)} images'
    else:
        if isinstance(chosen, str):
            raise ValueError('--classes FILE needs --fraction or --per-class')
        lines, what = chosen, f'{len(chosen)} classes'
    write_atomically(as_bytes(lines), Path(args.out))
    print(f'{what} in {args.out}')
