"""Image files as arrays: decoded, upright, always uint8 RGB."""

import os
from pathlib import Path
from typing import Optional, Union

import cv2
import numpy as np

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file ends too early.

    OpenCV before 5 decodes a truncated JPEG to an image with a gray lower
    part and says nothing.

    Args:
        data (bytes): The file's content.

    Returns:
        bool: True if the end marker is missing behind the start of the
        image data; False for a whole file, bytes behind its end or not,
        and for other formats, whose decoders notice.
    """
    if data.startswith(b'\x89PNG'):
        return data.rfind(b'IEND\xaeB`\x82') < 0
    if not data.startswith(b'\xff\xd8'):
        return False
    # Hop over the header segments: the thumbnail of a camera's image, in
    # one of them, has an end marker of its own.
    at = 2
    while data[at : at + 1] == b'\xff' and data[at + 1 : at + 2] != b'\xda':
        fill = data[at + 1 : at + 2] == b'\xff'
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return data.rfind(b'\xff\xd9', at) < 0


def decode(data: bytes) -> Optional[np.ndarray]:
    """Decode an image file's content.

    Args:
        data (bytes): The content.

    Returns:
        np.ndarray | None: uint8 (H, W, 3) RGB, turned as EXIF says, or None
        if the content is no image or a truncated one.
    """
    if not data or is_truncated(data):
        return None
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if img is None else cv2.cvtColor(img, cv2.COLOR_BGR2RGB, img)


def read_rgb(path: Union[str, os.PathLike]) -> np.ndarray:
    """Decode an image file, turned upright as its EXIF tag says.

    Args:
        path (str | os.PathLike): JPEG, PNG, ... as OpenCV reads them.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB; gray becomes three channels, alpha
        is dropped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a whole image that OpenCV can decode.
    """
    data = Path(path).read_bytes()
    img = decode(data)
    if img is None:
        raise ValueError(
            f"'{path}' is not a readable image, or a truncated one ({len(data)} bytes)"
        )
    return img


def input_image(results: dict) -> np.ndarray:
    """The image of a sample as (H, W, 3) uint8 RGB.

    Args:
        results (dict): ``'img'``, an array of shape (H, W), (H, W, 1) or
            (H, W, 3) uint8 RGB, or ``'img_path'``, which is decoded.

    Returns:
        np.ndarray: The image.

    Raises:
        KeyError: If there is neither.
        TypeError: If it is not uint8.
        ValueError: If it is not of such a shape.
    """
    if results.get('img') is None:
        if 'img_path' not in results:
            raise KeyError(f"a sample needs 'img' or 'img_path', got {sorted(results)}")
        return read_rgb(results['img_path'])
    img = results['img']
    if getattr(img, 'dtype', None) != np.uint8:
        what = getattr(img, 'dtype', type(img).__name__)
        raise TypeError(f"'img' must be a uint8 array, got {what}")
    if img.ndim == 2 or img.ndim == 3 and img.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(img), cv2.COLOR_GRAY2RGB)
    if img.ndim != 3 or img.shape[2] != 3:
        raise ValueError(f"'img' must be of shape (H, W), (H, W, 1) or (H, W, 3), got {img.shape}")
    return img
