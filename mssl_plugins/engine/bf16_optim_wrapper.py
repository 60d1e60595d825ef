"""bfloat16 training on any device.

mmengine's ``AmpOptimWrapper`` refuses a machine without an accelerator and
scales the loss, which bfloat16 does not need.
"""

import logging
from contextlib import contextmanager
from typing import Optional

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper

from mssl_plugins.models.layers.precision import computes_bfloat16
from mssl_plugins.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """Runs the forward pass under bfloat16 autocast, on CPU and GPU alike.

    Weights, gradients and optimizer state stay float32.  On a processor that
    only emulates bfloat16, ten times slower, the forward pass stays in float32
    too, and the log says so.

    Args:
        device_type (str, optional): ``'cpu'``, ``'cuda'``, ... Defaults to
            None, the device mmengine trains on.
        insist (bool): Run in bfloat16 even where it is emulated, as ``--amp``
            asks. Defaults to False.
        computes (bool, optional): Whether the device has bfloat16 arithmetic.
            Defaults to None: the device is asked.
        **kwargs: Arguments of mmengine's ``OptimWrapper``.
    """

    def __init__(
        self,
        *args,
        device_type: Optional[str] = None,
        insist: bool = False,
        computes: Optional[bool] = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.device_type = (device_type or get_device()).split(':')[0]
        if computes is None:
            computes = computes_bfloat16(self.device_type)
        self.enabled = computes or insist
        if not computes:
            print_log(
                'bfloat16 as asked by --amp, although this processor only emulates it: float32 may '
                'be ten times faster and more'
                if insist
                else 'float32: this processor has no bfloat16 arithmetic and would emulate it, ten '
                'times slower (--amp insists)',
                'current',
                logging.WARNING,
            )

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Runs the forward pass under bfloat16 autocast."""
        autocast = torch.autocast(self.device_type, torch.bfloat16, enabled=self.enabled)
        with super().optim_context(model), autocast:
            yield
