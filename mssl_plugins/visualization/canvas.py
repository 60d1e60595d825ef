"""Shared code of all figures: reading images, tensors to images, sheets of tiles.

Images are uint8 (H, W, 3) RGB arrays.
"""

import sys
from functools import lru_cache
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mssl_plugins.datasets.folder import EXTENSIONS, scan
from mssl_plugins.datasets.image_io import printable, read_rgb
from mssl_plugins.files import write_atomically

WRITTEN = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.webp')  # what a figure may be
NAME = 16  # px, height of a line with a file's name


def image_files(path: str) -> List[Path]:
    """The file that a path names, or those that a data set finds below a folder, sorted.

    Raises:
        FileNotFoundError: If there are none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    found = [path / name for name in scan(str(path))] if path.is_dir() else []
    if not found:
        raise FileNotFoundError(f'{path}: no image there ({", ".join(EXTENSIONS)})')
    return found


def find_images(path: str, limit: Optional[int] = None, spread: bool = False) -> List[Path]:
    """The readable images among :func:`image_files`; a line on stderr counts the others.

    Args:
        path (str): An image or a folder.
        limit (int, optional): At most this many. Defaults to None: all.
        spread (bool): Take them evenly from the folder, and fewer if some
            are damaged. Defaults to False: the first ones.

    Returns:
        list[Path]: Their files, sorted.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If the one image that is named is damaged.
    """
    files, found, damaged = image_files(path), [], []
    if spread and limit is not None:
        files = (
            [files[i * len(files) // limit] for i in range(limit)] if limit < len(files) else files
        )
    for file in files:
        if len(found) == limit:
            break
        try:
            read_rgb(file)
            found.append(file)
        except (OSError, ValueError):
            if file == Path(path):
                raise
            damaged.append(file.name)
    if damaged:
        more = ' ...' if len(damaged) > 3 else ''
        first = ', '.join(map(printable, damaged[:3]))
        print(f'{path}: {len(damaged)} unreadable, left out: {first}{more}', file=sys.stderr)
    if not found:
        raise FileNotFoundError(f'{path}: no image there can be read')
    return found


def row_names(path: str, files: Sequence[Path]) -> List[str]:
    """The files' names for the rows of a figure; in a folder, paths relative to it."""
    below = Path(path).is_dir()
    return [file.relative_to(path).as_posix() if below else file.name for file in files]


def distinct_names(paths: Sequence[str]) -> List[str]:
    """A short name for each path: its stem, or as many folders with it as tell them apart.

    The same path more than once gets a number.

    Example:
        >>> distinct_names(['one/epoch_3.pth', 'two/epoch_3.pth'])
        ['one/epoch_3', 'two/epoch_3']
    """
    parts = [
        (*path.parent.parts, path.name if path.is_dir() else path.stem) for path in map(Path, paths)
    ]
    for length in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-length:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            break
    numbers = [names[:i].count(name) + 1 for i, name in enumerate(names)]
    return [
        f'{name} ({number})' if names.count(name) > 1 else name
        for name, number in zip(names, numbers)
    ]


def denormalize(x: Tensor, preprocessor) -> np.ndarray:
    """(N, 3, H, W) normalized -> (N, H, W, 3) uint8, by the model's mean and std.

    Of images that are not 8-bit RGB the first three channels are shown, the last one
    repeated if there are fewer, from black (two standard deviations below the mean) to
    white (two above it).
    """
    x = x.detach().float().cpu()
    wide = (
        getattr(preprocessor, '_enable_normalize', False) and float(preprocessor.mean.max()) > 255
    )
    if x.shape[1] != 3 or wide:
        x = x[:, [min(i, x.shape[1] - 1) for i in range(3)]] * 63.75 + 127.5
        return x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    if getattr(preprocessor, '_enable_normalize', False):
        x = x * preprocessor.std.cpu() + preprocessor.mean.cpu()
    return x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes the longer side to ``size`` px; pixels of small images stay visible."""
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
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str] = (),
    tile: int = 160,
    gap: int = 6,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Rows of images as one figure, a title over each column, a name below each row.

    Args:
        rows (Sequence[Sequence[np.ndarray]]): uint8 RGB or gray images.
        titles (Sequence[str]): One for each column. Defaults to none.
        tile (int): Longer side of a tile in px. Defaults to 160.
        gap (int): White space between tiles in px. Defaults to 6.
        names (Sequence[str]): One for each row, such as its file's. Defaults to
            none.

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
    head, below = 22 if titles else 0, NAME if names else 0
    canvas = np.full(
        (head + sum(heights) + len(rows) * (below + gap) + gap, columns * (tile + gap) + gap, 3),
        255,
        np.uint8,
    )
    for c, title in enumerate(titles):
        write_text(canvas, title, (gap + c * (tile + gap), 16), 0.45, tile - 4)
    top = head + gap
    for r, (row, height) in enumerate(zip(rows, heights)):
        for c, image in enumerate(row):
            h, w = image.shape[:2]
            y, x = top + (height - h) // 2, gap + c * (tile + gap) + (tile - w) // 2
            canvas[y : y + h, x : x + w] = image
        top += height
        if names:
            line = name_line(names[r], canvas.shape[1] - 2 * gap)
            canvas[top : top + NAME, gap : gap + line.shape[1]] = line
        top += below + gap
    return canvas


@lru_cache(None)
def _font():
    """A font of Latin, Greek and Cyrillic letters, and the code points that it draws."""
    from matplotlib import font_manager, ft2font  # comes with MMEngine

    path = font_manager.findfont('DejaVu Sans')
    return ImageFont.truetype(path, 11), set(ft2font.FT2Font(path).get_charmap())


def name_line(name: str, width: int, lead: str = '') -> np.ndarray:
    """A file's name as a line of text, behind ``lead``; (NAME, width, 3) uint8.

    Letters that the font lacks are written as escapes, and of a name that is
    too long the end is kept.
    """
    font, known = _font()
    text = ''.join(
        c if ord(c) in known and c.isprintable() else c.encode('ascii', 'backslashreplace').decode()
        for c in printable(name)
    )
    dots = ''
    while text and font.getlength(f'{lead}{dots}{text}') > width - 2:
        text, dots = text[1:], '...'
    line = Image.new('RGB', (width, NAME), 'white')
    ImageDraw.Draw(line).text((1, 1), f'{lead}{dots}{text}', 'black', font)
    return np.array(line)


def write_text(
    image: np.ndarray, text: str, at: Tuple[int, int], scale: float, width: Optional[int] = None
) -> None:
    """Writes black text into an image, smaller where it would not fit.

    Args:
        image (np.ndarray): (H, W, 3) uint8, changed.
        text (str): One line.
        at (tuple[int, int]): x and y where its baseline begins, in px.
        scale (float): OpenCV's font scale.
        width (int, optional): Largest width in px. Defaults to None: any.
    """
    if width is not None:
        needed = cv2.getTextSize(text, 0, scale, 1)[0][0]
        scale = min(scale, scale * width / max(needed, 1))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)


def caption(image: np.ndarray, name: str, lead: str = '') -> np.ndarray:
    """An image with :func:`name_line` below it, (H + NAME, W, 3) uint8."""
    return np.concatenate([image, name_line(name, image.shape[1], lead)])


def save_image(path: str, image: np.ndarray) -> None:
    """Writes an RGB figure and makes its folder; the file is complete whenever it exists.

    Raises:
        ValueError: If the suffix names no image format.
        OSError: If it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITTEN:
        raise ValueError(f'{path}: a figure ends in one of {", ".join(WRITTEN)}')
    good, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not good:
        raise OSError(f'{path}: could not be written')
    write_atomically(data.tobytes(), path)
