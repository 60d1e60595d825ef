"""Options that several commands share; nothing heavy is imported to declare them."""

import argparse
import math

from mssl_plugins.errors import require


class Settings(argparse.Action):
    """MMEngine's ``DictAction``, KEY=VALUE, which is imported once the option is given."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Adds the settings to those given before."""
        require('torch', 'mmengine')
        from mmengine.config import DictAction

        for text in values:
            try:
                DictAction(self.option_strings, self.dest)(parser, namespace, [text], option_string)
            except (AssertionError, RecursionError, ValueError):  # no =, or an odd bracket
                parser.error(
                    f'{option_string} {text}: must be KEY=VALUE with a number, a word, [A,B] or '
                    '(A,B); a dict is set key by key, or in a config of your own'
                )


def positive(text: str) -> float:
    """Reads a number of a command line.

    Raises:
        argparse.ArgumentTypeError: If it is not finite and above 0.
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f'must be more than 0, got {text}')
    return number


def add_frozen_features(parser: argparse.ArgumentParser) -> None:
    """The arguments that tools on frozen features share."""
    add = parser.add_argument
    add(
        'checkpoint',
        help="a checkpoint of any library, or, with --config, 'random' "
        "for random weights or 'pixels' for raw pixels",
    )
    add(
        '--config',
        help='a config, by path or name, that describes network and data; '
        'default: the one in the checkpoint',
    )
    add(
        '--branch',
        choices=['student', 'teacher'],
        help='which backbone of the checkpoint; default: the '
        'teacher of DINO, iBOT and MST, else the student',
    )
    add(
        '--pool',
        default='auto',
        choices=['auto', 'cls', 'avg', 'last'],
        help='features: class token, average, or the output as it is; '
        'auto: the class token if there is one, else the average',
    )
    add(
        '--size',
        type=int,
        metavar='PX',
        help="side of the input; default: that of the config's test transform; with --data "
        'the size of the ViT, else 224, or less if the images are smaller',
    )
    add('--resize', type=int, metavar='PX', help='short side before the center crop')
    add('--batch-size', type=int, metavar='N')
    add('--workers', type=int, metavar='N', help='processes that read images')
    add('--device', help='default: cuda if there is one')
    add('--bf16', action='store_true', help='run the network in bfloat16')
    add('--seed', type=int, default=0, help='seed of random weights')


def add_split(parser: argparse.ArgumentParser) -> None:
    """The argument that says which images of a config are meant."""
    parser.add_argument(
        '--split',
        default='train',
        choices=['train', 'test'],
        help='which images of a config. Default: train',
    )
