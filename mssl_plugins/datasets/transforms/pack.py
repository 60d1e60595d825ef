"""Packs views and their annotations as tensors that are cheap to send between processes."""

from typing import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample

from mssl_plugins.registry import TRANSFORMS


class _ByValue:
    """Pickles a tensor as its bytes, unpickles as a tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self):
        return torch.from_numpy, (self.tensor.numpy(),)


class ViewSample(DataSample):
    """A ``DataSample`` that is cheap to send from a loader's process.

    torch sends a tensor as a file descriptor of shared memory, about 1 ms
    each whatever its size; mmpretrain's ``DataSample`` avoids that for
    tensors, but not for lists of them, one a view, as boxes and segments are.
    """

    def __getstate__(self) -> dict:
        return {key: _by_value(value) for key, value in self.__dict__.items()}


def _by_value(value):
    if isinstance(value, list):
        return [_by_value(item) for item in value]
    plain = (
        isinstance(value, torch.Tensor)
        and not value.requires_grad
        and (value.device.type == 'cpu' and value.dtype != torch.bfloat16)
    )
    return _ByValue(value) if plain else value


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Packs a sample into tensors and a data sample, ready for ``default_collate``.

    Output: ``{'inputs': ..., 'data_samples': ViewSample}``.  The inputs are a
    list of V contiguous (C, S, S) tensors if ``img`` is a list of views, or one
    such tensor if it is a single array: uint8, of 16-bit images int32.  The data
    sample gets ``view_boxes`` ((V, 4) float32), ``view_flips`` ((V,) bool),
    ``view_segments``, ``view_bboxes`` and ``view_bbox_ids`` (lists of V tensors)
    and ``gt_label``, where the sample has them, and ``sample_idx``, ``img_path``
    and ``ori_shape`` as meta information.

    Args:
        keys (Sequence[str]): Further results to pack as fields: arrays and
            numbers as tensors, lists of arrays as lists of tensors. A key
            that a sample lacks is an error. Defaults to ().
        meta_keys (Sequence[str]): Results to pack as meta information where
            they exist. Defaults to ('sample_idx', 'img_path', 'ori_shape').

    Raises:
        KeyError: If ``img`` or one of ``keys`` is missing.
    """

    FIELDS = ('view_boxes', 'view_flips', 'view_segments', 'view_bboxes', 'view_bbox_ids')

    def __init__(
        self,
        keys: Sequence[str] = (),
        meta_keys: Sequence[str] = ('sample_idx', 'img_path', 'ori_shape'),
    ) -> None:
        self.keys = tuple(keys)
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Packs one sample; see the class for the output.

        Raises:
            KeyError: If the sample lacks what is to be packed.
        """
        for key in ('img', *self.keys):
            if key not in results:
                raise KeyError(f"PackViews needs '{key}' in the sample, got {sorted(results)}")
        img = results['img']
        sample = ViewSample(metainfo={k: results[k] for k in self.meta_keys if k in results})
        fields = [key for key in self.FIELDS if key in results]
        for key in (*fields, *self.keys):
            sample.set_field(tensors(results[key]), key)
        if results.get('gt_label') is not None:
            sample.set_gt_label(results['gt_label'])
        if isinstance(img, (list, tuple)):
            inputs = [chw_tensor(view) for view in img]
        else:
            inputs = chw_tensor(img)
        return dict(inputs=inputs, data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, meta_keys={self.meta_keys})'


def chw_tensor(img: np.ndarray) -> torch.Tensor:
    """A (H, W, C) uint8 or uint16 image as a contiguous (C, H, W) uint8 or int32 tensor."""
    if img.dtype != np.uint8:
        return tensors(img.transpose(2, 0, 1))
    planes = np.empty((img.shape[2], *img.shape[:2]), np.uint8)
    cv2.split(img, list(planes))  # writes into the planes; faster than a transpose
    return torch.from_numpy(planes)


def tensors(value):
    """Arrays and numbers, also inside lists, as tensors of types that every torch has."""
    if isinstance(value, (list, tuple)):
        return [tensors(item) for item in value]
    array = np.asarray(value)
    if array.dtype in (np.uint16, np.uint32, np.uint64):
        # torch has unsigned types beyond uint8 only in part
        array = array.astype(np.int32 if array.dtype == np.uint16 else np.int64)
    return torch.from_numpy(np.ascontiguousarray(array))
