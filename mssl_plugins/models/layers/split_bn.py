"""SplitBN: BatchNorm in one process as if the batch lay on several devices.

MoCo's CIFAR recipe (MixMask's supplement, Table 1, and the code it builds on)
normalizes each eighth of the batch by its own statistics.
"""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mssl_plugins.models.layers.precision import is_compiling
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
        if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
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
        return out.view(n // s, s, c, h, w).transpose(0, 1).reshape(n, c, h, w)

    def _by_part(self, x: Tensor) -> Tensor:
        """One call for each part: in channels-last memory this copies less than one joint call."""
        means = self.running_mean.repeat(self.num_splits, 1)
        variances = self.running_var.repeat(self.num_splits, 1)
        # Compiled for a CPU, each part would get C++ kernels of its own.
        if self.affine and x.device.type == 'cpu' and is_compiling():
            out, means, variances, *_ = _of_parts(
                x, self.weight, self.bias, means, variances, self.momentum, self.eps
            )
        else:
            parts = [
                F.batch_norm(part, mean, var, self.weight, self.bias, True, self.momentum, self.eps)
                for part, mean, var in zip(x.chunk(self.num_splits), means, variances)
            ]
            out = torch.cat(parts)
        self._note(means, variances)
        return out

    @torch.no_grad()
    def _note(self, means: Tensor, variances: Tensor) -> None:
        """Updates running statistics by those of the parts, (splits, C) both."""
        self.running_mean.copy_(means.mean(0))
        self.running_var.copy_(variances.mean(0))
        self.num_batches_tracked += 1


def _of_parts(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    means: Tensor,
    variances: Tensor,
    momentum: float,
    eps: float,
) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The parts' outputs, their running statistics, and what the gradient needs of them.

    ``means`` and ``variances``, (splits, C), are the running statistics before.
    """
    means, variances = means.clone(), variances.clone()
    done = [
        torch.native_batch_norm(part, weight, bias, mean, variance, True, momentum, eps)
        for part, mean, variance in zip(x.chunk(len(means)), means, variances)
    ]
    out, centers, scales = zip(*done)
    return torch.cat(out), means, variances, torch.stack(centers), torch.stack(scales)


def _gradients_of_parts(
    grad: Tensor, x: Tensor, weight: Tensor, centers: Tensor, scales: Tensor, eps: float
) -> Tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    parts = zip(grad.chunk(len(centers)), x.chunk(len(centers)), centers, scales)
    to_x, to_weight, to_bias = zip(
        *(
            torch.ops.aten.native_batch_norm_backward(
                part_grad, part, weight, None, None, center, scale, True, eps, [True] * 3
            )
            for part_grad, part, center, scale in parts
        )
    )
    return torch.cat(to_x), sum(to_weight), sum(to_bias)


def _keep(ctx, inputs, output) -> None:
    x, weight, *_, ctx.eps = inputs
    ctx.save_for_backward(x, weight, *output[3:])


def _backward(ctx, grad: Tensor, *_) -> Tuple[Optional[Tensor], ...]:
    grad = grad.contiguous(memory_format=torch.channels_last)
    return *_gradients_of_parts(grad, *ctx.saved_tensors, ctx.eps), None, None, None, None


if hasattr(torch.library, 'custom_op'):  # from torch 2.4 on
    _of_parts = torch.library.custom_op(
        'mssl_plugins::split_batch_norm', _of_parts, mutates_args=()
    )
    _gradients_of_parts = torch.library.custom_op(
        'mssl_plugins::split_batch_norm_backward', _gradients_of_parts, mutates_args=()
    )

    @_of_parts.register_fake
    def _(x, weight, bias, means, variances, momentum, eps):
        return tuple(map(torch.empty_like, (x, means, means, means, means)))

    @_gradients_of_parts.register_fake
    def _(grad, x, weight, centers, scales, eps):
        return tuple(map(torch.empty_like, (x, weight, weight)))

    _of_parts.register_autograd(_backward, setup_context=_keep)
