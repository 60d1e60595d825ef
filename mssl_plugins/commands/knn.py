"""Measures a frozen backbone with weighted k-NN: python tools/knn.py CHECKPOINT."""

import argparse
import json
import time

from mssl_plugins.commands.options import add_frozen_features
from mssl_plugins.errors import require
from mssl_plugins.files import write_atomically


def main(argv=None) -> None:
    """Parses the command line, measures, prints.

    Raises:
        ValueError: If a k is larger than the bank.
    """
    parser = argparse.ArgumentParser(
        prog='knn.py',
        description='Weighted k-NN (Wu et al. 2018) of frozen, L2-normalized features: every key '
        'among the k nearest votes with exp(similarity / T). Also measures of collapse.',
        epilog='Several processes: torchrun --nproc_per_node N tools/knn.py '
        '... A mistake gets one line; MSSL_TRACEBACK=1 shows where.',
    )
    add_frozen_features(parser)
    parser.add_argument(
        '--k',
        type=int,
        nargs='+',
        metavar='K',
        default=[10, 20, 100, 200],
        help='numbers of neighbors; default: 10 20 100 200',
    )
    parser.add_argument(
        '--temperature', type=float, default=0.07, metavar='T', help='default: 0.07'
    )
    parser.add_argument(
        '--data',
        metavar='DIR',
        help='labeled images: train/ and val/ (or test/) with a '
        'sub-folder a class; CIFAR-10, CIFAR-100 or Tiny-ImageNet as unpacked; DIR/NAME of '
        "packed DIR/NAME_train.npz; default: those of the config's KNNHook",
    )
    parser.add_argument('--json', metavar='FILE', help='also write it here')
    args = parser.parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mmengine.dist import is_main_process

    from mssl_plugins.evaluation import inputs
    from mssl_plugins.evaluation.summary import summarize

    device = inputs.start(args)
    model, loaded, cfg = inputs.find_model(args)
    loaders = inputs.find_images(args, cfg, model)
    bank = len(loaders['bank'].dataset)
    if max(args.k) > bank:
        raise ValueError(f'--k {max(args.k)} is larger than the bank of {bank} samples')
    if is_main_process():
        print(f'{args.checkpoint}: {loaded}')
    begin = time.perf_counter()
    features = {
        name: inputs.features(args, model, loader, device) for name, loader in loaders.items()
    }
    measured = summarize(features['bank'], features['test'], args.k, args.temperature)
    seconds = time.perf_counter() - begin
    if not is_main_process():
        return
    dims = features['bank'][0].size(1)
    print(
        f'{bank} keys, {len(features["test"][1])} queries, {dims} '
        f'dimensions, T = {args.temperature}, {seconds:.1f} s'
    )
    for name, value in measured.items():
        print(f'{name:16}{value:8.4f}')
    if args.json:
        result = dict(
            config=args.config,
            checkpoint=args.checkpoint,
            branch=args.branch,
            pool=args.pool,
            temperature=args.temperature,
            keys=bank,
            queries=len(features['test'][1]),
            dimensions=dims,
            top1={k: measured[f'knn/top1_k{k}'] for k in sorted(set(args.k))},
            std=measured['collapse/std'],
            erank=measured['collapse/erank'],
            seconds=round(seconds, 1),
        )
        write_atomically(json.dumps(result, indent=2).encode() + b'\n', args.json)
