"""Packs a folder of images into shards: tools/pack.py FOLDER OUT."""

import argparse
from typing import Optional, Sequence

from mssl_plugins.errors import require

FORMATS = ('tar', 'parquet', 'arrow', 'lmdb')


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line of ``tools/pack.py``."""
    parser = argparse.ArgumentParser(
        prog='pack.py',
        description='Packs a folder of images into shards, files of many images each, for '
        'file systems that are slow with many small files. `train --data OUT` reads them. '
        'Started again it goes on where it stopped.',
        epilog='A mistake gets one line; MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument('data', metavar='FOLDER', help='the images; sub-folders are classes')
    parser.add_argument('out', metavar='OUT', help='a new folder for the shards')
    parser.add_argument(
        '--format',
        default='tar',
        choices=FORMATS,
        help="tar: as WebDataset's; parquet, arrow: as Hugging Face's datasets; lmdb. Default: tar",
    )
    parser.add_argument(
        '--images', type=int, default=10_000, metavar='N', help='images a shard; default: 10,000'
    )
    parser.add_argument(
        '--segments', metavar='STORE', help='pack these segments too, as of make_segments'
    )
    parser.add_argument(
        '--channels', type=int, metavar='N', help='pack images of N channels, .npy among them'
    )
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Packs the folder.

    Returns:
        int: The exit status, 0.
    """
    args = parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mssl_plugins.pack import pack

    shards = pack(
        args.data, args.out, args.format, args.images, args.segments, args.channels, shown=True
    )
    print(f'{len(shards)} shard{"s" if len(shards) > 1 else ""} in {args.out}')
    return 0
