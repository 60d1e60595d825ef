"""Data parallelism over processes on machines without a GPU."""

from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from torch import nn

from mssl_plugins.registry import MODEL_WRAPPERS


def without_sync_bn(module: nn.Module) -> nn.Module:
    """Puts BatchNorm of each process in the place of SyncBatchNorm, and says so."""
    if any(isinstance(m, nn.SyncBatchNorm) for m in module.modules()):
        print_log(
            'No GPU: SyncBatchNorm uses the statistics of each process',
            logger='current',
            level=30,
        )
        module = revert_sync_batchnorm(module)
    return module


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """MMEngine's wrapper, for parameters that live on the CPU.

    Torch's SyncBatchNorm needs a GPU, and mmpretrain's projectors have it by
    default. Here it becomes BatchNorm with each process's own statistics, as
    MMEngine does in a single process.

    Args:
        module (nn.Module): The model.
        device_ids: Ignored; the runner always gives a GPU's number.
        **kwargs: Arguments of ``MMDistributedDataParallel``.
    """

    def __init__(self, module: nn.Module, device_ids=None, **kwargs) -> None:
        super().__init__(without_sync_bn(module), **kwargs)
