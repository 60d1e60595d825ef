"""Normalization on the device, for views that travel as uint8.

Normalizing in the worker costs a float tensor four times the size, a copy of
it between processes and a transfer; here it is one pass over the batch on the
device.  Extends MMPretrain's ``SelfSupDataPreprocessor``.
"""

from typing import List, Optional, Sequence

import torch
from mmpretrain.models import SelfSupDataPreprocessor

from mssl_plugins.datasets.transforms.batch_views import BatchViews
from mssl_plugins.datasets.transforms.views import ViewGroup
from mssl_plugins.errors import FieldError
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class ViewPreprocessor(SelfSupDataPreprocessor):
    """Moves a batch to the device and normalizes every view, or makes the views there.

    Args:
        mean (Sequence[float]): Mean of each channel (R, G, B) for pixel values in
            0-255. For images that keep their channels, one value for each of them,
            in the units of the files. Defaults to ImageNet's.
        std (Sequence[float]): Standard deviations, as ``mean``. Defaults to
            ImageNet's.
        channels_last (bool): Whether to give channels_last memory, which
            convolutions are faster on. Defaults to False.
        non_blocking (bool): Whether the transfer may overlap with work on
            the host; needs pinned memory (``pin_memory=True`` of the loader).
            Defaults to False.
        views (Sequence[dict], optional): Make these views of a batch of images
            of one size, see
            :class:`~mssl_plugins.datasets.transforms.batch_views.BatchViews`; the
            pipeline then is ``PackViews`` alone. Defaults to None: the batch
            holds views.
        bits (int): Bits of a channel in the files, for those who read images for this
            network later. Defaults to 8.
        **kwargs: ``to_rgb`` and others of ``SelfSupDataPreprocessor``; our
            pipelines are RGB already.

    Raises:
        TypeError: If a batch was not collated by ``default_collate``.
        ValueError: If images have another number of channels than ``mean``.
        FieldError: If ``mean`` and ``std`` do not fit each other or ``to_rgb``.
    """

    config_parts = dict(views=ViewGroup)

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        channels_last: bool = False,
        non_blocking: bool = False,
        views: Optional[Sequence[dict]] = None,
        bits: int = 8,
        **kwargs,
    ) -> None:
        # Whole numbers would make integer tensors, which cannot hold a quotient.
        mean, std = (value and [float(v) for v in value] for value in (mean, std))
        few = mean is None or std is None or len(mean) in (1, 3) and len(std) in (1, 3)
        if not few and len(mean) != len(std):
            raise FieldError('std', f'{len(std)} values for {len(mean)} channels of mean')
        # MMEngine's takes one value or three
        super().__init__(
            mean=mean if few else mean[:1],
            std=std if few else std[:1],
            non_blocking=non_blocking,
            **kwargs,
        )
        if not few:
            if self._channel_conversion:
                raise FieldError('to_rgb', f'is for 3 channels, and mean has {len(mean)}')
            self.mean = torch.tensor(mean).view(-1, 1, 1)
            self.std = torch.tensor(std).view(-1, 1, 1)
        self.channels_last, self.bits = channels_last, bits
        self.views = None if views is None else BatchViews(views)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalizes a batch.

        Args:
            data (dict): ``inputs``, a (B, 3, H, W) tensor or a list of V such
                tensors, each of its own size, uint8 or float in 0-255, or with
                the channels that images keep; ``data_samples`` (list, optional).
            training (bool): Make ``views`` of the images, if there are any.
                Defaults to False.

        Returns:
            dict: ``inputs``, float32 (V of them if V were given), and
            ``data_samples``, the list or None.

        Raises:
            TypeError: If the batch is no dict with ``inputs``, or a view is no batch of
                images.
            ValueError: If the images have another number of channels than ``mean``.
        """
        if not isinstance(data, dict) or 'inputs' not in data:
            what = sorted(data) if isinstance(data, dict) else type(data)
            raise TypeError(
                f"a batch must be a dict with 'inputs', got {what}: the last step of "
                'train_dataloader.dataset.pipeline makes it, such as mssl_plugins.PackViews'
            )
        data = self.cast_data(data)
        inputs = data['inputs']
        if self.views is not None and training:
            views = self.make_views(inputs, data.get('data_samples'))
            inputs = [self.normalize(view, reuse=True) for view in views]
        elif isinstance(inputs, (list, tuple)):
            inputs = [self.normalize(view) for view in inputs]
        else:
            inputs = self.normalize(inputs)
        return dict(inputs=inputs, data_samples=data.get('data_samples'))

    @torch.no_grad()
    def make_views(self, images: torch.Tensor, samples: Optional[list]) -> List[torch.Tensor]:
        """(B, 3, H, W) images to V batches of views; see :class:`BatchViews`.

        Raises:
            TypeError: If the batch holds views already.
        """
        if not isinstance(images, torch.Tensor) or images.dim() != 4:
            what = f'{len(images)} views' if isinstance(images, (list, tuple)) else type(images)
            raise TypeError(
                'views are made here of a batch of images of one size: leave mssl_plugins.Views '
                f'out of the pipeline, got {what}'
            )
        return self.views(images, samples)

    def normalize(self, view: torch.Tensor, reuse: bool = False) -> torch.Tensor:
        """(B, 3, H, W) of any type to normalized float32, (x - mean) / std.

        Args:
            view (Tensor): (B, 3, H, W).
            reuse (bool): Whether its memory may be used. Defaults to False.

        Raises:
            TypeError: If it is no tensor of that shape.
            ValueError: If it has another number of channels than ``mean``.
        """
        if not isinstance(view, torch.Tensor) or view.dim() != 4:
            what = getattr(view, 'shape', type(view).__name__)
            raise TypeError(
                'each view must be a (B, 3, H, W) tensor, got '
                f"{what}; set collate_fn=dict(type='default_collate')"
            )
        if self._channel_conversion:
            view = view[:, [2, 1, 0]]
        if self.channels_last:  # now, while it is bytes, a quarter of the floats
            view = view.contiguous(memory_format=torch.channels_last)
        if not self._enable_normalize:
            return view.float()
        if len(self.mean) not in (1, view.shape[1]):
            raise ValueError(
                f'images of {view.shape[1]} channels, and mean has {len(self.mean)}: '
                'channel_statistics measures them, train --channels sets them'
            )
        out = view if reuse and view.dtype == self.mean.dtype else None
        return torch.sub(view, self.mean, out=out).div_(self.std)
