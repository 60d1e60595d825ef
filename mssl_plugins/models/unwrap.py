"""The model inside its data-parallel or sharding wrapper."""

from contextlib import nullcontext
from typing import ContextManager

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


def whole(model: nn.Module) -> ContextManager:
    """A context in which every process has all weights, see ``mssl_plugins.FSDP.whole``.

    Args:
        model (nn.Module): A model, wrapped or not. If it is not sharded, the
            context does nothing.

    Returns:
        ContextManager: To be entered by all processes.
    """
    return model.whole() if is_model_wrapper(model) and hasattr(model, 'whole') else nullcontext()
