"""The model inside its data-parallel wrapper."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """The module that a wrapper such as ``DistributedDataParallel`` holds.

    Args:
        model (nn.Module): A model, wrapped or not.

    Returns:
        nn.Module: The model itself.
    """
    return model.module if is_model_wrapper(model) else model
