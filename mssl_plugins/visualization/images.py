"""Reading images for pictures."""
from pathlib import Path
from typing import Union

import cv2
import numpy as np

from mssl_plugins.datasets.views import read_rgb


def read_square(path: Union[str, Path], size: int) -> np.ndarray:
    """The centre of an image, short side resized to ``size`` px, uint8 RGB."""
    image = read_rgb(str(path))
    h, w = image.shape[:2]
    scale = size / min(h, w)
    image = cv2.resize(image, (max(round(w * scale), size), max(round(h * scale), size)),
                       interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    y, x = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[y:y + size, x:x + size]
