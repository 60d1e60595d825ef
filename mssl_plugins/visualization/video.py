"""Reads videos as frames, and writes frames as a video."""

from itertools import chain
from pathlib import Path
from typing import Iterator, Tuple

import cv2
import numpy as np

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.errors import UserError
from mssl_plugins.files import whole_file
from mssl_plugins.visualization import VIDEOS
from mssl_plugins.visualization.canvas import image_files

TOGETHER = 8  # frames that go through the network at once


def read_video(path: str) -> Iterator[np.ndarray]:
    """Frames of a video, (H, W, 3) uint8 RGB."""
    video = cv2.VideoCapture(path)
    try:
        good, frame = video.read()
        while good:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            good, frame = video.read()
    finally:
        video.release()


def video_facts(path: str) -> Tuple[float, int]:
    """Frames per second (25 if the file does not say) and their number (0 if not known).

    Raises:
        FileNotFoundError: If there is no such video.
        ValueError: If OpenCV can read no frame.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no such video: {path}')
    video = cv2.VideoCapture(path)
    rate, count = video.get(cv2.CAP_PROP_FPS), int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    good, _ = video.read()
    video.release()
    if not good:
        raise ValueError(f'{path}: OpenCV finds no frame in it')
    return rate if 0 < rate < 1000 else 25.0, max(count, 0)


def write_video(path: str, frames: Iterator[np.ndarray], rate: float) -> int:
    """Writes frames of one size, uint8 RGB; returns their number.

    The file is complete whenever it exists.

    Raises:
        ValueError: If the name does not end in .mp4.
        OSError: If OpenCV cannot write it.
    """
    path = Path(path)
    if path.suffix.lower() != '.mp4':
        raise ValueError(f'{path}: a video ends in .mp4')
    frames, count = iter(frames), 0
    first = next(frames, None)
    if first is None:
        return 0
    size = tuple(side // 2 * 2 for side in first.shape[1::-1])  # codecs want even ones
    with whole_file(path, '.mp4') as part:  # OpenCV chooses the format by the name
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*'mp4v'), rate, size)
        try:
            if not writer.isOpened():
                raise OSError(f'{path}: OpenCV could not open it for writing')
            for count, frame in enumerate(chain([first], frames), 1):
                frame = np.ascontiguousarray(frame[: size[1], : size[0]])
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        finally:
            writer.release()
    return count


def frame_source(path: str) -> Tuple[Iterator[np.ndarray], float, int]:
    """Frames of a video or a folder, frames per second (0 for a folder), and their number.

    Raises:
        UserError: If a folder's images differ in size.
    """
    if Path(path).suffix.lower() in VIDEOS:
        rate, count = video_facts(path)
        return read_video(path), rate, count
    files = image_files(path)

    def read() -> Iterator[np.ndarray]:
        first = None
        for file in files:
            frame = read_rgb(str(file))
            first = first or frame.shape
            if frame.shape != first:
                raise UserError(
                    f'{file} is {frame.shape[1]} x {frame.shape[0]} px, the first frame '
                    f'{first[1]} x {first[0]} px: frames of a video need one size'
                )
            yield frame

    return read(), 0.0, len(files)
