"""Writes a backbone for another library: tools/export.py CHECKPOINT --to TARGET OUT."""

import argparse

from mssl_plugins.errors import require


def main(argv=None) -> None:
    """Parses the command line, exports, prints the line that loads it."""
    parser = argparse.ArgumentParser(
        prog='export.py',
        description="Writes a checkpoint's backbone as another library names "
        'and reads it, with mssl_export.json: method, config, hash of the source, how to load '
        'it. The checkpoint may be any of this library or OpenMMLab, or weights of timm, DINO, '
        'MAE, torchvision or Hugging Face: `--to mmpretrain` imports them.',
        epilog='A mistake gets one line; MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument('checkpoint', help='a file, or the folder of an earlier export')
    parser.add_argument('out', metavar='OUT', help='the folder to make')
    parser.add_argument(
        '--to',
        required=True,
        metavar='TARGET',
        help='mmpretrain, mmdet, mmseg, timm, hf, torchvision, detectron2',
    )
    parser.add_argument(
        '--branch',
        metavar='BRANCH',
        help='student or teacher; default: the teacher for DINO, iBOT and MST, else the student',
    )
    parser.add_argument(
        '--config',
        help='a config, by path or name; needed if the checkpoint holds none '
        'and the network has no standard size',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an earlier export')
    args = parser.parse_args(argv)
    require('torch', 'mmengine', 'mmcv', 'mmpretrain', 'safetensors')
    from mssl_plugins.export import export

    done = export(args.checkpoint, args.to, args.out, args.branch, args.config, args.overwrite)
    source, kind = done['source'], done['architecture']['type']
    print(f'{args.out}: {kind}, {source["branch"]} of {source["method"] or source["file"]}')
    print(done['load'].replace('OUT', args.out))
