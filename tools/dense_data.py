"""Makes the small data sets of the detection and segmentation benchmarks.

python tools/dense_data.py coco data/scenes-coco      # generated scenes, nothing to download
python tools/dense_data.py voc data/scenes-voc
python tools/dense_data.py seg data/scenes-seg --train 1000 --size 128
python tools/dense_data.py bccd data/bccd --source bccd_voc.tar.gz
python tools/dense_data.py camvid data/camvid --source FOLDER_OF_NPZ
"""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

CHECKOUT = Path(__file__).resolve().parents[1]
if (CHECKOUT / 'mssl_plugins').is_dir():  # else it is installed
    sys.path.insert(0, str(CHECKOUT))

from mssl_plugins.errors import require, run_cli


def main(argv: Optional[List[str]] = None) -> None:
    """Writes scenes as detection and segmentation data."""
    require('mmengine', 'mmcv', 'mmpretrain')
    from mssl_plugins.datasets.dense_layouts import PACKED, WRITERS, default_source, write_scenes
    from mssl_plugins.errors import unknown

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', help=f'{", ".join(WRITERS)} (scenes) or {", ".join(PACKED)}')
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('--train', type=int, default=400, help='scenes to train on. Default: 400')
    parser.add_argument('--val', type=int, default=100, help='held-out scenes. Default: 100')
    parser.add_argument('--size', type=int, default=64, help='side of a scene in px. Default: 64')
    parser.add_argument('--seed', type=int, default=0, help='seed of the scenes. Default: 0')
    parser.add_argument(
        '--source', help='packed BCCD or CamVid; default: $MSSL_DATA, then ../shared/data'
    )
    args = parser.parse_args(argv)
    if args.what in WRITERS:
        write_scenes(args.out, args.what, (args.train, args.val), size=args.size, seed=args.seed)
    elif args.what in PACKED:
        PACKED[args.what](default_source(args.source, CHECKOUT), args.out)
    else:
        raise unknown(args.what, [*WRITERS, *PACKED], 'data set')
    print(f'written: {args.out}')


if __name__ == '__main__':
    sys.exit(run_cli(main))
