"""A mask of the first frame, carried through any video by frozen patch features.

It shows what ``video-segmentation`` measures (DINO, section 4.2.2); see
:mod:`mssl_plugins.evaluation.label_propagation`.
"""

import argparse
from pathlib import Path
from typing import Iterator

import numpy as np
from PIL import Image

from mssl_plugins.errors import UserError, unknown
from mssl_plugins.evaluation.dense_data import read_mask
from mssl_plugins.evaluation.video_runner import Segmenter
from mssl_plugins.files import progress
from mssl_plugins.visualization.canvas import draw_segments, enlarge
from mssl_plugins.visualization.network import networks_of
from mssl_plugins.visualization.video import frame_source, write_video


def run(args: argparse.Namespace) -> None:
    """Draws the objects over every frame, for the networks side by side.

    Raises:
        ValueError: If the video should be written into another kind of file than .mp4.
        FileNotFoundError: If there is no such mask.
        UserError: If a number is not positive, or the mask has no objects from 1 to 254.
    """
    if Path(args.out).suffix.lower() != '.mp4':
        raise unknown(Path(args.out).suffix, ['.mp4'], 'kind of video to write')
    if min(args.fps, args.tile) <= 0:
        raise UserError('--fps and --tile must be more than 0')
    if not Path(args.mask).is_file():
        raise FileNotFoundError(f'no such mask: {args.mask}')
    first = read_mask(Path(args.mask))
    if not 0 < first.max() < 255:
        raise UserError(
            f'{args.mask}: objects have the numbers 1 to 254, the largest is {first.max()}'
        )
    _, rate, count = frame_source(args.input)
    networks = networks_of(args)
    masks = [
        Segmenter(network.model, args.size).masks(frame_source(args.input)[0], first)
        for network in networks
    ]

    def frames() -> Iterator[np.ndarray]:
        for number, (frame, *found) in enumerate(zip(frame_source(args.input)[0], *masks)):
            for network, mask in zip(networks, found):
                if args.masks:
                    folder = Path(args.masks) / (network.name if len(networks) > 1 else '')
                    folder.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(folder / f'{number:05d}.png')
            shown = [enlarge(frame, args.tile)]
            shown += [enlarge(draw_segments(frame, mask), args.tile) for mask in found]
            yield np.concatenate(shown, 1)

    write_video(args.out, progress(frames(), count), rate or args.fps)
