"""The segments of a segment store, drawn over the images (mask-guided attention)."""

import argparse

import cv2
import numpy as np

from mssl_plugins.segments.image_set import find_images, read_image
from mssl_plugins.segments.store import SegmentStore
from mssl_plugins.visualization.canvas import (
    distinct_names,
    draw_segments,
    save_image,
    sheet,
)


def overlay(image: np.ndarray, labels: np.ndarray, size: int) -> np.ndarray:
    """Segments over an image, with their borders.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        labels (np.ndarray): (h, w) label map of the same proportions.
        size (int): Longer side of the figure in px.

    Returns:
        np.ndarray: uint8 RGB.
    """
    ratio = size / max(image.shape[:2])
    shape = [max(round(side * ratio), 1) for side in image.shape[1::-1]]
    image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC)
    labels = cv2.resize(labels.astype(np.uint16), shape, interpolation=cv2.INTER_NEAREST_EXACT)
    shown = draw_segments(image, labels)
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    shown[border] = 255
    return shown


def run(args: argparse.Namespace) -> None:
    """Draws stored segments over their images.

    Raises:
        ValueError: If a number is too small, an image cannot be read or has no segments.
    """
    if min(args.number, args.columns, args.tile) < 1:
        raise ValueError('--number, --columns and --tile must be 1 or more')
    images = find_images(args.data, args.split)
    # spread over the set, whose order is often that of the classes
    images = images[:: max(len(images) // args.number, 1)][: args.number]
    files = [SegmentStore(path) for path in args.segments]
    titles = ['image', *distinct_names(args.segments)]
    groups = []
    for image in images:
        img, _ = read_image(image)
        if img is None:
            raise ValueError(f'{image.key} cannot be read')
        group = [overlay(img, np.zeros(img.shape[:2], np.uint8), args.tile)]
        for file in files:
            at = int(file.find([image.key])[0])
            if at < 0:
                raise ValueError(f'{file.path} has no segments for {image.key}')
            group.append(overlay(img, file.read(at), args.tile))
        groups.append(group)
    rows = [sum(groups[i : i + args.columns], []) for i in range(0, len(groups), args.columns)]
    keys = [image.key for image in images]
    names = [',   '.join(keys[i : i + args.columns]) for i in range(0, len(keys), args.columns)]
    titles *= min(args.columns, len(groups))
    save_image(args.out, sheet(rows, titles, args.tile, names=names))
