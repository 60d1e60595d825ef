"""bfloat16 training on any device.

mmengine's ``AmpOptimWrapper`` refuses a machine without an accelerator and
scales the loss, which bfloat16 does not need.
"""

import logging
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper

from mssl_plugins.registry import OPTIM_WRAPPERS


def computes_bfloat16(device: str) -> bool:
    """Whether a device has bfloat16 arithmetic; a processor may emulate it.

    Args:
        device (str): Its type, such as 'cpu'.
    """
    # of oneDNN, which a build of torch may lack
    return device != 'cpu' or getattr(torch.ops.mkldnn, '_is_mkldnn_bf16_supported', lambda: True)()


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast, on CPU and GPU alike.

    Weights, gradients and optimizer state stay float32.

    Args:
        device_type (str, optional): ``'cpu'``, ``'cuda'``, ... Defaults to
            None, the device mmengine trains on.
        **kwargs: Arguments of mmengine's ``OptimWrapper``.
    """

    def __init__(self, *args, device_type: str = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.device_type = (device_type or get_device()).split(':')[0]
        if not computes_bfloat16(self.device_type):
            print_log(
                'this processor has no bfloat16 arithmetic and emulates it: float32, without --amp '
                'or by --cfg-options optim_wrapper.type=OptimWrapper, may be ten times faster '
                'and more',
                'current',
                logging.WARNING,
            )

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Runs the forward pass under bfloat16 autocast."""
        with super().optim_context(model), torch.autocast(self.device_type, torch.bfloat16):
            yield
