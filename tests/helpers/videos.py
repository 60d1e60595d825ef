"""Drawn masks."""

import numpy as np


def square(top, left, side=10, size=(100, 100), number=1):
    mask = np.zeros(size, np.uint8)
    mask[top : top + side, left : left + side] = number
    return mask
