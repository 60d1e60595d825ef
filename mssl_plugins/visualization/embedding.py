"""Images placed by similarity on a plane: t-SNE or UMAP of frozen features.

t-SNE as scikit-learn computes it (van der Maaten and Hinton, JMLR 2008) from
features of unit length, so that distance grows with the angle; UMAP (arXiv
1802.03426) by umap-learn, which is not installed with this library.
"""

import argparse
from pathlib import Path
from typing import List, Sequence

import cv2
import numpy as np

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.errors import UserError
from mssl_plugins.visualization.canvas import enlarge, find_images, save_image, write_text
from mssl_plugins.visualization.network import image_features, networks_of

MARGIN, HEAD = 20, 30  # px


def embed(features: np.ndarray, method: str, perplexity: float, seed: int) -> np.ndarray:
    """Embeds features in a plane.

    Args:
        features (np.ndarray): (N, D).
        method (str): 'tsne' or 'umap'.
        perplexity (float): Perplexity of t-SNE, or UMAP's number of neighbors;
            limited to a third of the images.
        seed (int): Seed of the method.

    Returns:
        np.ndarray: (N, 2) float64.

    Raises:
        UserError: For fewer than 4 images, or without umap-learn.
    """
    _check_count(len(features))
    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    near = max(1.0, min(perplexity, (len(rows) - 1) / 3))
    if method == 'umap':
        try:
            from umap import UMAP
        except ImportError:
            raise UserError(
                '--method umap needs umap-learn (pip install umap-learn); --method tsne does not'
            ) from None
        found = UMAP(n_neighbors=max(2, round(near)), random_state=seed).fit_transform(rows)
    else:
        from sklearn.manifold import TSNE

        found = TSNE(perplexity=near, init='pca', random_state=seed).fit_transform(rows)
    return np.asarray(found, np.float64)


def _check_count(images: int) -> None:
    if images < 4:
        raise UserError(f'a map needs 4 or more images, got {images}')


def class_names(root: Path, files: Sequence[Path]) -> List[str]:
    """The sub-folder of each file; empty names if there are fewer than two."""
    names = [f.relative_to(root).parts[0] if f.parent != root else '' for f in files]
    return names if len(set(names)) > 1 else [''] * len(files)


def color_of(number: int, count: int) -> tuple:
    """One of ``count`` evenly spaced hues, as RGB."""
    hue = np.uint8([[[180 * number // max(count, 1), 200, 230]]])
    return tuple(int(v) for v in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])


def figure(
    thumbnails: Sequence[np.ndarray],
    places: np.ndarray,
    names: Sequence[str],
    title: str,
    canvas: int = 1200,
) -> np.ndarray:
    """Thumbnails at their positions, a title, and a legend of the classes' colors.

    Args:
        thumbnails (Sequence[np.ndarray]): N uint8 RGB images.
        places (np.ndarray): (N, 2) positions, scaled to fill the map with their
            proportions kept.
        names (Sequence[str]): N names of classes; if all are empty, thumbnails
            get no frames.
        title (str): Title of the figure.
        canvas (int): Side of the map in px. Defaults to 1200.

    Returns:
        np.ndarray: (H, canvas, 3) uint8 RGB; y grows upwards as in a plot.
    """
    classes = sorted(set(names) - {''})
    lines = -(-len(classes) // 6)
    head = HEAD + 20 * lines
    shown = np.full((head + canvas, canvas, 3), 255, np.uint8)
    write_text(shown, title, (MARGIN, 20), 0.55)
    for i, name in enumerate(classes):
        x, y = MARGIN + i % 6 * (canvas - 2 * MARGIN) // 6, HEAD + 20 * (i // 6)
        shown[y : y + 12, x : x + 12] = color_of(i, len(classes))
        write_text(shown, name[:24], (x + 18, y + 11), 0.42)
    biggest = max(max(t.shape[:2]) for t in thumbnails) + 4
    room = canvas - 2 * MARGIN - biggest
    middle = (places.max(0) + places.min(0)) / 2
    scale = room / max(float(np.ptp(places, axis=0).max()), 1e-12)
    at = (places - middle) * scale * [1, -1] + canvas / 2
    for thumbnail, (x, y), name in zip(thumbnails, at, names):
        if name:
            thumbnail = cv2.copyMakeBorder(
                thumbnail, *[2] * 4, 0, value=color_of(classes.index(name), len(classes))
            )
        h, w = thumbnail.shape[:2]
        top, left = head + round(y - h / 2), round(x - w / 2)
        shown[top : top + h, left : left + w] = thumbnail
    return shown


def run(args: argparse.Namespace) -> None:
    """Draws the maps of the networks side by side.

    Raises:
        UserError: If a number or a size is too small, or there are fewer than 4 images.
    """
    if min(args.number, args.tile, args.perplexity) < 1 or args.canvas < 4 * args.tile + 100:
        raise UserError(
            '--number, --tile and --perplexity must be 1 or more, --canvas at least 4 tiles and '
            f'100 px, got {args.number}, {args.tile}, {args.perplexity} and {args.canvas}'
        )
    files = find_images(args.images, args.number, spread=True)
    _check_count(len(files))
    names = class_names(Path(args.images), files)
    thumbnails = [enlarge(read_rgb(str(file)), args.tile) for file in files]
    maps = []
    for network in networks_of(args):
        places = embed(
            image_features(network, files).numpy(), args.method, args.perplexity, args.seed
        )
        way = {'tsne': 't-SNE', 'umap': 'UMAP'}[args.method]
        title = f'{network.name}: {way} of {len(files)} images'
        maps.append(figure(thumbnails, places, names, title, args.canvas))
    save_image(args.out, np.concatenate(maps, 1))
