"""SplitBN: BatchNorm in one process as if the batch lay on several devices.

MoCo's CIFAR recipe (MixMask's supplement, Table 1, and the code it builds on)
normalizes each eighth of the batch by its own statistics.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mssl_plugins.registry import MODELS


@MODELS.register_module(name=['SplitBN', 'SplitBatchNorm2d'])
class SplitBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of parts of the batch.

    Keys and evaluation are BatchNorm2d's.  Running statistics are
    updated by the mean over the parts.

    Args:
        num_features (int): Channels.
        num_splits (int): Parts of the batch, in order. Defaults to 8.
        **kwargs: Arguments of ``nn.BatchNorm2d``.

    Raises:
        ValueError: If there are no parts; in training, if they do not divide the batch.
    """

    _abbr_ = 'bn'  # mmcv names the layer bn1, bn2, ...: keys stay BatchNorm's

    def __init__(self, num_features: int, num_splits: int = 8, **kwargs) -> None:
        if num_splits < 1:
            raise ValueError(f'num_splits must be 1 or more, got {num_splits}')
        super().__init__(num_features, **kwargs)
        self.num_splits = num_splits

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W).

        Raises:
            ValueError: If a batch in training cannot be split into equal parts.
        """
        if not self.training or not self.track_running_stats:
            return super().forward(x)
        n, c, h, w = x.shape
        s = self.num_splits
        if n % s:
            raise ValueError(f'a batch of {n} cannot be split into {s} equal parts (SplitBN)')
        channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        # Compiled for a CPU, each part would get kernels of its own.
        if channels_last and not (x.device.type == 'cpu' and torch.compiler.is_compiling()):
            return self._by_part(x)
        mean, var = self.running_mean.repeat(s), self.running_var.repeat(s)
        # parts become channels: one fused call normalizes all of them
        parts = x.view(s, n // s, c, h, w).transpose(0, 1).reshape(n // s, s * c, h, w)
        out = F.batch_norm(
            parts,
            mean,
            var,
            None if self.weight is None else self.weight.repeat(s),
            None if self.bias is None else self.bias.repeat(s),
            True,
            self.momentum,
            self.eps,
        )
        self._note(mean.view(s, c), var.view(s, c))
        out = out.view(n // s, s, c, h, w).transpose(0, 1).reshape(n, c, h, w)
        return out.contiguous(memory_format=torch.channels_last) if channels_last else out

    def _by_part(self, x: Tensor) -> Tensor:
        """One call for each part: in channels-last memory this copies less than one joint call."""
        means = self.running_mean.repeat(self.num_splits, 1)
        variances = self.running_var.repeat(self.num_splits, 1)
        out = [
            F.batch_norm(part, mean, var, self.weight, self.bias, True, self.momentum, self.eps)
            for part, mean, var in zip(x.chunk(self.num_splits), means, variances)
        ]
        self._note(means, variances)
        return torch.cat(out)

    @torch.no_grad()
    def _note(self, means: Tensor, variances: Tensor) -> None:
        """Updates running statistics by those of the parts, (splits, C) both."""
        self.running_mean.copy_(means.mean(0))
        self.running_var.copy_(variances.mean(0))
        self.num_batches_tracked += 1
