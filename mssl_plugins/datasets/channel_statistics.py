"""Mean and standard deviation of each channel of a set of images."""

from typing import List, NamedTuple

import numpy as np

from mssl_plugins.datasets.base import DecodingDataset
from mssl_plugins.files import progress

IMAGES = 2000  # our choice: more of them move the mean of photos by less than one level of 255


class ChannelStatistics(NamedTuple):
    """Statistics of each channel, in the units of the files' values.

    Every image has the same weight, whatever its size.

    Attributes:
        mean (List[float]): Mean of each channel.
        std (List[float]): Standard deviation of each channel over the pixels of all
            images; at least a thousandth of the range, so that a constant channel can be
            divided by it.
        least (List[int]): Smallest value of each channel.
        most (List[int]): Largest value of each channel.
        images (int): How many images were read.
    """

    mean: List[float]
    std: List[float]
    least: List[int]
    most: List[int]
    images: int


def measure(
    dataset: DecodingDataset, images: int = IMAGES, shown: bool = False
) -> ChannelStatistics:
    """Measures the channels of a set, on evenly spread images of it if it is large.

    Args:
        dataset (DecodingDataset): The set; all its images have the same number of channels.
        images (int): At most this many images are read. Defaults to 2000.
        shown (bool): Whether to show a progress bar. Defaults to False.

    Returns:
        ChannelStatistics: One value for each channel; unreadable images are left out.

    Raises:
        ValueError: If none of these images can be read, or ``images`` is less than 1.
    """
    if images < 1:
        raise ValueError(f'images must be 1 or more, got {images}')
    count = min(images, len(dataset))
    sums, squares, least, most = [], [], [], []
    for number in progress(range(count), count, shown, 'images measured'):
        info = dataset.get_data_info(number * len(dataset) // count)
        img = dataset.load(info)
        if img is None:
            reason = info['unreadable']
            continue
        pixels = img.reshape(-1, img.shape[-1])
        sums.append(pixels.mean(0, dtype=np.float64))
        squares.append(np.square(pixels, dtype=np.float64).mean(0))
        least.append(pixels.min(0))
        most.append(pixels.max(0))
    if not sums:
        raise ValueError(f'none of {count} images can be used: {reason}')
    mean = np.mean(sums, 0)
    spread = np.sqrt(np.maximum(np.mean(squares, 0) - mean**2, 0))
    smallest = np.iinfo(least[0].dtype).max / 1000
    return ChannelStatistics(
        [round(float(value), 3) for value in mean],
        [round(float(max(value, smallest)), 3) for value in spread],
        np.min(least, 0).tolist(),
        np.max(most, 0).tolist(),
        len(sums),
    )
