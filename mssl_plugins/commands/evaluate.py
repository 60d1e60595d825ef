"""Measures a checkpoint by the papers' protocols: tools/evaluate.py CHECKPOINT --data DIR."""

import argparse
from pathlib import Path

from mssl_plugins.errors import require
from mssl_plugins.files import write_atomically


def parse(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='evaluate.py',
        description='k-NN, linear probes and fine-tuning of '
        'the backbone in any checkpoint: of this library, MMPretrain, timm, '
        'DINO, MAE, MoCo, torchvision. Features are computed once and kept; '
        'a second call goes on where the first was stopped.',
        epilog='--list shows the protocols. Several processes for frozen features: '
        'torchrun --nproc_per_node N tools/evaluate.py ... A mistake gets one '
        'line; MSSL_TRACEBACK=1 shows where.',
    )
    _add_images_and_network(parser.add_argument)
    _add_protocol_settings(parser.add_argument)
    return parser.parse_args(argv)


def _add_images_and_network(add) -> None:
    add('checkpoint', nargs='?', help="a file, or 'random' for the untrained backbone of --config")
    add(
        '--data',
        metavar='DIR',
        help='labeled images: train/ and val/ (or '
        'test/) with a sub-folder a class; CIFAR-10, CIFAR-100 or Tiny-ImageNet as '
        'unpacked; DIR/NAME of packed DIR/NAME_train.npz; for dense protocols '
        'DIR/img/{train,val} and label maps DIR/ann/{train,val}, or Pascal VOC, ADE20K or '
        'Cityscapes as unpacked; of video-segmentation DAVIS 2017; of voc07-svm and '
        'voc07-low-shot Pascal VOC as unpacked',
    )
    add(
        '--ignore-label',
        type=int,
        nargs='+',
        default=(),
        metavar='N',
        help='for dense protocols: labels of the masks to ignore besides 255',
    )
    add(
        '--memory',
        type=int,
        default=102400,
        metavar='N',
        help='for dense protocols: largest number of patches in the memory; default: 102400',
    )
    add(
        '--protocols',
        default='knn,linear',
        metavar='A,B',
        help="names, or 'frozen', 'finetune', 'all', 'dense'; default: knn,linear",
    )
    add('--list', action='store_true', help='show the protocols')
    add('--out', metavar='FILE', help='write the rows as JSON')
    add(
        '--work-dir',
        metavar='DIR',
        default='work_dirs/evaluate',
        help='where '
        'features, runs and results are kept, in a folder for each checkpoint and '
        'data set; default: work_dirs/evaluate',
    )
    add(
        '--config',
        help='a config, by path or name, that describes the network; '
        'default: the one in the checkpoint',
    )
    add(
        '--branch',
        choices=['student', 'teacher'],
        help='which backbone; default: the teacher of DINO, iBOT and MST, else the student',
    )
    add(
        '--size',
        type=int,
        metavar='PX',
        help='side of the input; default: the size of the '
        'ViT, else 224, or less if the images are smaller; for dense protocols the short side, '
        "default: the images' own, or 512 x 512 if their sizes differ",
    )
    add('--resize', type=int, metavar='PX', help='short side before the center crop')
    add(
        '--classes',
        metavar='FILE',
        help='file with the classes to take (ImageNet-100), one a line; '
        'for dense protocols the names of all classes',
    )


def _add_protocol_settings(add) -> None:
    add('--train-images', type=int, metavar='N', help='at most this many, evenly from all classes')
    add('--test-images', type=int, metavar='N', help='likewise')
    add('--labels-1', metavar='FILE', help='the images of finetune-1; default: drawn')
    add('--labels-10', metavar='FILE', help='those of finetune-10')
    add(
        '--k',
        type=int,
        nargs='+',
        metavar='K',
        help='k of k-NN; default: 10 20 100 200, for patches 1 5 20',
    )
    add(
        '--layers',
        nargs='+',
        metavar='KIND',
        help='features of voc07-svm and voc07-low-shot: cls, avg, blocks4 of a ViT, avg, conv1 '
        '... conv5 of a ResNet; default: all of a ViT, avg, conv4 and conv5 of a ResNet',
    )
    add('--temperature', type=float, metavar='T', help='T of k-NN; default: 0.07')
    add(
        '--lrs',
        type=float,
        nargs='+',
        metavar='LR',
        help="learning rates of the probes, for the protocol's batch; default: the protocol's",
    )
    add(
        '--views',
        type=int,
        default=0,
        metavar='V',
        help='probes see V augmented views of each image in turn; default: 0, the center view',
    )
    add(
        '--epochs',
        type=int,
        metavar='N',
        help="epochs of probes and fine-tuning, schedules scaled; default: the protocols'",
    )
    add(
        '--finetune-batch',
        type=int,
        metavar='N',
        help="batch of fine-tuning, learning rate scaled with it; default: the protocol's",
    )
    add('--processes', type=int, default=1, metavar='N', help='processes that fine-tune')
    add(
        '--batch-size',
        type=int,
        default=64,
        metavar='N',
        help='batch in which features are computed',
    )
    add('--workers', type=int, default=0, metavar='N', help='processes that read images')
    add('--device', help='default: cuda if there is one')
    add('--bf16', action='store_true', help='run the network in bfloat16')
    add('--seed', type=int, default=0)


def main(argv=None) -> None:
    """Parses the command line, measures, prints.

    Raises:
        ValueError: Without a checkpoint or data, unless it is ``--list``.
    """
    args = parse(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    import torch
    from mmengine.dist import is_main_process

    from mssl_plugins.api import evaluate
    from mssl_plugins.evaluation import inputs
    from mssl_plugins.evaluation.report import listing, table
    from mssl_plugins.evaluation.store import dump

    if args.list:
        print(listing())
        return
    if args.checkpoint is None or args.data is None:
        raise ValueError('give a checkpoint and --data DIR (or --list)')
    lists = {'finetune-1': args.labels_1, 'finetune-10': args.labels_10}
    rows = evaluate(
        args.checkpoint,
        args.data,
        args.protocols,
        args.work_dir,
        args.branch,
        args.config,
        args.size,
        args.resize,
        args.classes,
        args.train_images,
        args.test_images,
        args.ignore_label,
        device=inputs.start(args),
        say=lambda line: print(line, flush=True),
        epochs=args.epochs,
        rates=args.lrs,
        views=args.views,
        ks=args.k,
        temperature=args.temperature,
        memory=args.memory,
        layers=args.layers,
        finetune_batch=args.finetune_batch,
        processes=args.processes,
        lists={k: v for k, v in lists.items() if v},
        seed=args.seed,
        dtype=torch.bfloat16 if args.bf16 else torch.float32,
        batch_size=args.batch_size,
        num_workers=args.workers,
    )
    if not is_main_process():
        return
    print(table(rows))
    if args.out:
        write_atomically(dump(rows), Path(args.out))
