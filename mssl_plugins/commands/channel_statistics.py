"""Mean and standard deviation of the channels of images: tools/channel_statistics.py DATA."""

import argparse
import os
from typing import Optional, Sequence

from mssl_plugins.errors import require


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line of ``tools/channel_statistics.py``."""
    parser = argparse.ArgumentParser(
        prog='channel_statistics.py',
        description='Measures mean and standard deviation of each channel of a set of images, '
        'for data_preprocessor. `train --channels` does it by itself.',
        epilog='A mistake gets one line; MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument('data', help='a folder of images, a shard, or a folder of shards')
    parser.add_argument(
        '--channels', type=int, metavar='N', help='keep N channels; default: 8-bit RGB'
    )
    parser.add_argument('--bits', type=int, default=8, choices=(8, 16), help='default: 8')
    parser.add_argument(
        '--images',
        type=int,
        default=2000,
        metavar='N',
        help='read at most so many, evenly spread; default: 2000',
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints the statistics.

    Returns:
        int: The exit status, 0.

    Raises:
        FileNotFoundError, ValueError: If there is no such data, or an option is out of
            range.
    """
    args = parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mssl_plugins.datasets.channel_statistics import measure
    from mssl_plugins.datasets.inspection import set_at
    from mssl_plugins.registry import DATASETS

    if args.channels is None and args.bits != 8:
        raise ValueError(f'--bits {args.bits}: goes with --channels N')
    if not os.path.exists(os.path.expanduser(args.data)):
        raise FileNotFoundError(f'no such data: {args.data}')
    spec = set_at(args.data, args.channels, args.bits)
    dataset = DATASETS.build(dict(spec, labels=False, pipeline=[]))
    found = measure(dataset, args.images, shown=True)
    print(f'{found.images} of {len(dataset)} images, {len(found.mean)} channels')
    for number, row in enumerate(zip(*found[:4])):
        mean, std, least, most = row
        print(f'channel {number}: mean {mean:g}, std {std:g}, values {least} to {most}')
    print(f'data_preprocessor=dict(mean={found.mean}, std={found.std})')
    return 0
