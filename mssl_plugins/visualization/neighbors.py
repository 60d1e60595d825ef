"""The nearest images of images, or the nearest patches of a patch, by a network's features."""

import argparse
from pathlib import Path
from typing import List, Sequence

import numpy as np

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.errors import UserError
from mssl_plugins.evaluation.neighbors import nearest_images, nearest_patches
from mssl_plugins.visualization.canvas import (
    caption,
    enlarge,
    find_images,
    save_image,
    sheet,
)
from mssl_plugins.visualization.network import (
    FrozenNetwork,
    cut,
    image_features,
    maps_of,
    networks_of,
    patch_at,
)
from mssl_plugins.visualization.similarity import marked


def image_rows(
    network: FrozenNetwork, files: Sequence[Path], queries: Sequence[int], k: int, tile: int
) -> List[List[np.ndarray]]:
    """One row for each query: the image and its nearest images, with their cosines."""
    cosines, index = nearest_images(image_features(network, files), queries, k)

    def shown(number: int, lead: str = '') -> np.ndarray:
        file = files[number]
        return caption(enlarge(read_rgb(str(file)), tile), f'{file.parent.name}/{file.name}', lead)

    return [
        [shown(q)] + [shown(i, f'{c:.3f} ') for c, i in zip(near, found)]
        for q, near, found in zip(queries, cosines.tolist(), index.tolist())
    ]


def patch_row(
    network: FrozenNetwork,
    files: Sequence[Path],
    query: int,
    pixel: Sequence[int],
    k: int,
    tile: int,
) -> List[np.ndarray]:
    """A patch in its image, and the nearest patch of each of the nearest images."""
    images = [read_rgb(str(file)) for file in files]
    maps = maps_of(network, images)
    at = patch_at(images[query], network, tuple(maps[query].shape[:2]), *pixel)
    found = nearest_patches(maps, query, *at, k)

    def shown(number: int, row: int, column: int, lead: str = '') -> np.ndarray:
        view = enlarge(cut(images[number], network.size, network.patch)[0], tile)
        framed = marked(view, tuple(maps[number].shape[:2]), row, column)
        return caption(framed, files[number].name, lead)

    return [shown(query, *at)] + [
        shown(p.image, p.row, p.column, f'{p.cosine:.3f} ') for p in found
    ]


def run(args: argparse.Namespace) -> None:
    """Shows the neighbors of images or of a patch.

    Raises:
        UserError: If a number is too small, a pixel is named without its image, or there
            are too few images for k neighbors.
    """
    if min(args.rows, args.k, args.tile, args.limit) < 1:
        raise UserError('--rows, --k, --tile and --limit must be 1 or more')
    files = find_images(args.images, args.limit)
    if args.at and not args.queries:
        raise UserError('--at names a pixel of a query: give --queries FILE')
    if args.queries:
        asked = [find_images(query)[0] for query in args.queries]
        known = {file.resolve(): number for number, file in enumerate(files)}
        for file in asked:
            if file.resolve() not in known:
                known[file.resolve()] = len(files)
                files.append(file)
        queries = [known[file.resolve()] for file in asked]
    else:
        queries = list(range(0, len(files), max(1, len(files) // args.rows)))[: args.rows]
    if len(files) <= args.k and not args.at:
        raise UserError(
            f'--k {args.k}: {args.images} has {len(files)} images, one of which is the query'
        )
    parts = []
    for network in networks_of(args):
        if args.at:
            rows = [patch_row(network, files, queries[0], args.at, args.k, args.tile)]
            what = 'nearest patches'
        else:
            rows = image_rows(network, files, queries, args.k, args.tile)
            what = 'nearest images'
        titles = ['query', f'{network.name}: {what}']
        parts.append(sheet(rows, titles, args.tile))
    width = max(part.shape[1] for part in parts)
    parts = [
        np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in parts
    ]
    save_image(args.out, np.concatenate(parts))
