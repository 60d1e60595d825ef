"""Shared by all figures: images from disk, tensors to images, sheets of tiles.

Images are uint8 (H, W, 3) RGB arrays.
"""

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from torch import Tensor

from mssl_plugins.files import write_atomically

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.ppm'}


def find_images(path: str, limit: Optional[int] = None) -> List[Path]:
    """The image files that a path names: itself, or all below a folder.

    Raises:
        FileNotFoundError: If there are none.
    """
    path = Path(path)
    files = (
        [path]
        if path.is_file()
        else sorted(f for f in path.rglob('*') if f.suffix.lower() in SUFFIXES)
    )
    if not files:
        raise FileNotFoundError(f'{path}: no image there ({", ".join(sorted(SUFFIXES))})')
    return files[:limit]


def denormalize(x: Tensor, preprocessor) -> np.ndarray:
    """(N, 3, H, W) normalized -> (N, H, W, 3) uint8, by the model's mean and std."""
    x = x.detach().float().cpu()
    if getattr(preprocessor, '_enable_normalize', False):
        x = x * preprocessor.std.cpu() + preprocessor.mean.cpu()
    return x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """Longer side to ``size`` px; small images keep their pixels visible."""
    h, w = image.shape[:2]
    scale = size / max(h, w)
    return cv2.resize(
        image,
        (max(round(w * scale), 1), max(round(h * scale), 1)),
        interpolation=cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA,
    )


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, color=(255, 60, 60), thickness: int = 2
) -> np.ndarray:
    """A copy with boxes (n, 4), x0, y0, x1, y1 in px, drawn on it."""
    image = np.ascontiguousarray(image.copy())
    for x0, y0, x1, y1 in np.asarray(boxes, dtype=float).round().astype(int):
        cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), color, thickness)
    return image


def draw_segments(image: np.ndarray, labels: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Segments (H, W), 0 = none, as colors over the image."""
    hue = (np.arange(256) * 67 % 180).astype(np.uint8)  # neighbors in number differ in hue
    palette = cv2.cvtColor(
        np.stack([hue, np.full(256, 220, np.uint8), np.full(256, 255, np.uint8)], -1)[None],
        cv2.COLOR_HSV2RGB,
    )[0]
    color = palette[labels.astype(int) % 256]
    blend = (image * (1 - opacity) + color * opacity).astype(np.uint8)
    return np.where(labels[..., None] > 0, blend, image)


def sheet(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = (), tile: int = 160, gap: int = 6
) -> np.ndarray:
    """Rows of images as one figure, a title over each column.

    Args:
        rows (Sequence[Sequence[np.ndarray]]): uint8 RGB or gray images.
        titles (Sequence[str]): One a column. Defaults to none.
        tile (int): Longer side of a tile in px. Defaults to 160.
        gap (int): White space between tiles in px. Defaults to 6.

    Returns:
        np.ndarray: uint8 (H, W, 3) RGB.
    """
    columns = max(len(row) for row in rows)
    rows = [
        [
            enlarge(image if image.ndim == 3 else np.repeat(image[..., None], 3, -1), tile)
            for image in row
        ]
        for row in rows
    ]
    heights = [max(image.shape[0] for image in row) for row in rows]
    head = 22 if titles else 0
    canvas = np.full(
        (head + sum(heights) + (len(rows) + 1) * gap, columns * (tile + gap) + gap, 3),
        255,
        np.uint8,
    )
    for c, title in enumerate(titles):
        write_text(canvas, title, (gap + c * (tile + gap), 16), 0.45, tile - 4)
    top = head + gap
    for row, height in zip(rows, heights):
        for c, image in enumerate(row):
            h, w = image.shape[:2]
            y, x = top + (height - h) // 2, gap + c * (tile + gap) + (tile - w) // 2
            canvas[y : y + h, x : x + w] = image
        top += height + gap
    return canvas


def write_text(
    image: np.ndarray, text: str, at: Tuple[int, int], scale: float, width: Optional[int] = None
) -> None:
    """Writes black text into an image, smaller where it would not fit.

    Args:
        image (np.ndarray): (H, W, 3) uint8, changed.
        text (str): One line.
        at (tuple[int, int]): x and y of its base line in px.
        scale (float): OpenCV's, of the usual size.
        width (int, optional): What it may take in px. Defaults to None.
    """
    if width is not None:
        needed = cv2.getTextSize(text, 0, scale, 1)[0][0]
        scale = min(scale, scale * width / max(needed, 1))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """An image with a line of text below it, (H + 16, W, 3) uint8."""
    strip = np.full((16, image.shape[1], 3), 255, np.uint8)
    write_text(strip, text, (1, 11), 0.36, image.shape[1] - 2)
    return np.concatenate([image, strip])


def save_image(path: str, image: np.ndarray) -> None:
    """Write an RGB figure, making its folder; the file is whole whenever it is there.

    Raises:
        ValueError: If the suffix names no image format.
        OSError: If it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f'{path}: a figure ends in one of {", ".join(sorted(SUFFIXES))}')
    good, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not good:
        raise OSError(f'{path}: could not be written')
    write_atomically(data.tobytes(), path)
