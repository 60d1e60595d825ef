"""Writes a backbone's features of images: tools/extract.py CHECKPOINT OUT.npz."""

import argparse
import io
from pathlib import Path

from mssl_plugins.commands.options import add_frozen_features
from mssl_plugins.errors import require
from mssl_plugins.files import check_place, write_atomically


def main(argv=None) -> None:
    """Parses the command line, extracts, writes.

    Raises:
        ValueError: If the output does not end in .npz.
        OSError: If it cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog='extract.py',
        description='Writes the frozen features of a set '
        'of images: `features` (N, D) float32, `labels` (N,) int64, -1 where '
        'there is none, and `paths` (N,), empty for images without a file.',
        epilog='Several processes: torchrun --nproc_per_node N '
        'tools/extract.py ... A mistake gets one line; MSSL_TRACEBACK=1 shows '
        'where.',
    )
    add_frozen_features(parser)
    parser.add_argument('out', metavar='OUT.npz', help='the file to write')
    parser.add_argument(
        '--split',
        default='test',
        choices=['train', 'test'],
        help="which set of the config's KNNHook; default: test",
    )
    parser.add_argument(
        '--data',
        metavar='DIR',
        help='a folder of images instead; sub-folders, if any, are the classes',
    )
    parser.add_argument(
        '--max-bad',
        type=float,
        default=0.01,
        metavar='FRACTION',
        help='of the files of --data that may be unreadable, which are left out; default: 0.01',
    )
    args = parser.parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    import numpy as np
    from mmengine.dist import is_main_process

    from mssl_plugins.api import extract_features
    from mssl_plugins.evaluation import inputs

    out = Path(args.out)
    if out.suffix != '.npz':
        raise ValueError(f'the output must end in .npz, got {out}')
    check_place(out)  # before the work, not after it
    device = inputs.start(args)
    model, loaded, cfg = inputs.find_model(args)
    own = args.data is None
    images = inputs.own_set(args, cfg, args.split) if own else args.data
    if is_main_process():
        print(f'{args.checkpoint}: {loaded}')
    features, labels, paths = extract_features(
        model,
        images,
        pool=args.pool,
        size=None if own else args.size,
        resize=None if own else args.resize,
        batch_size=args.batch_size,
        workers=args.workers,
        device=device,
        bf16=args.bf16,
        progress=True,
        max_bad=args.max_bad,
    )
    if not is_main_process():
        return
    written = io.BytesIO()
    np.savez(
        written, features=features.numpy(), labels=labels.numpy(), paths=np.array(paths, dtype=str)
    )
    write_atomically(written.getvalue(), out)
    print(f'{len(features)} x {features.size(1)} features in {out}')
