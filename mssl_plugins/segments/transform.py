"""The transform that adds stored segments to their image."""

from typing import Optional

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mssl_plugins.datasets.image_io import input_image
from mssl_plugins.registry import TRANSFORMS
from mssl_plugins.segments.store import SegmentStore, first_names, names_of


@TRANSFORMS.register_module()
class LoadSegments(BaseTransform):
    """Adds an image's segments to its sample, for ``mssl_plugins.Views`` to carry.

    Required keys: ``img`` (uint8 (H, W, 3); gray is converted) or
    ``img_path`` (decoded here).  The segments are found by ``img_path``, or
    by ``sample_idx`` where a dataset has no paths.  Added key: ``segments``,
    (H, W) uint8 or uint16, 0 = none; a stored map of another size is resized with
    nearest neighbor.  It goes before transforms that crop, flip or recolor.

    This library's datasets check at the start that all images have segments;
    with others, the first image without segments stops the run.

    Args:
        segments (str): The store that ``tools/make_segments.py`` made.
        allow_missing (bool): Whether images without segments get a map of
            zeros instead of an error. Defaults to False.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If images have no segments (the message gives their number
            and the first names), if the segments are of other images, or if
            a shard is truncated.
        KeyError: If a sample has no image.

    Example:
        >>> pipeline = [
        >>>     dict(type='mssl_plugins.LoadSegments', segments='data/in100_sam'),
        >>>     dict(type='mssl_plugins.Views', views=[dict(num=2, size=224)]),
        >>>     dict(type='mssl_plugins.PackViews')]
    """

    def __init__(self, segments: str, allow_missing: bool = False) -> None:
        self.segments, self.allow_missing = str(segments), allow_missing
        self._store: Optional[SegmentStore] = None

    @property
    def store(self) -> SegmentStore:
        """The store, opened at first use so that a config can be built without its data."""
        if self._store is None:
            self._store = SegmentStore(self.segments)
        return self._store

    def check_dataset(self, dataset) -> None:
        """Checks that all images of a dataset have segments.

        Raises:
            ValueError: If none has, or if some have none and ``allow_missing``
                is off.
        """
        names = names_of(dataset)
        found = self.store.find(names)
        missing = [name for name, at in zip(names, found) if at < 0]
        if len(missing) == len(names) > 0:
            raise ValueError(
                f'{self.segments} holds segments of other images: none of the {len(names)} of '
                f'this set ({first_names(names)}) is among its {len(self.store)}'
            )
        if missing and not self.allow_missing:
            raise ValueError(
                f'{self.segments} has no segments for {len(missing)} of {len(names)} images: '
                f'{first_names(missing)}; start tools/make_segments.py again, or train with '
                '--allow-missing (allow_missing=True), which gives them none'
            )

    def transform(self, results: dict) -> dict:
        """Adds the segments of one sample; see the class for the keys.

        Raises:
            ValueError: If the store has no segments for the image and ``allow_missing`` is
                off, or has those of another image.
        """
        img = results['img'] = input_image(results)
        name = results.get('img_path') or str(int(results['sample_idx']))
        at = int(self.store.find([name])[0])
        if at < 0 or not self.store.readable(at):
            if not self.allow_missing:
                why = (
                    'could not be read when they were made'
                    if at >= 0
                    else (f"is not among the {len(self.store)} images of '{self.segments}'")
                )
                raise ValueError(
                    f'no segments for {name}, which {why}; start tools/make_segments.py again '
                    '(with --check it counts the missing ones), or set allow_missing=True'
                )
            results['segments'] = np.zeros(img.shape[:2], np.uint8)
            return results
        if not self.store.is_of(at, img, colors='channels' not in results):
            raise ValueError(
                f'{self.segments} holds segments of other images: what it has for {name} was '
                'made from another image; make them for these images, and load them before '
                'any transform that changes the image'
            )
        labels = self.store.read(at)
        if labels.shape != img.shape[:2]:
            labels = cv2.resize(labels, img.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        results['segments'] = labels
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(segments='{self.segments}', allow_missing={self.allow_missing})"
        )
