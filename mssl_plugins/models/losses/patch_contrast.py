"""Patch-level contrast of ASL (CVPR 2024, supplement section 12, eq. 3).

The paper prints neither which pseudo labels form the set B nor the value of
lambda: both are our choices, and arguments.
"""

from typing import Optional

import torch
from mmengine.dist import all_gather, get_rank
from torch import Tensor, nn

from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.registry import MODELS


class _LSingle(torch.autograd.Function):
    """Eq. 3 in chunks; the forward pass computes the gradient, so nothing is stored for later."""

    @staticmethod
    def forward(ctx, prediction, label, own, lam, valid, chunk):
        groups, rows, _ = prediction.shape
        chunk = chunk or groups * rows
        # ||p||^2 is common to all terms of a softmax and drops out
        norm = -label.pow(2).sum(-1).unsqueeze(1) / lam  # (G, 1, N)
        if valid is not None:
            norm = norm.masked_fill(~valid.unsqueeze(1), -torch.inf)
        loss = prediction.new_empty(groups, rows)
        grad = torch.empty_like(prediction) if ctx.needs_input_grad[0] else None
        step_g, step_r = max(chunk // rows, 1), min(chunk, rows)
        for g in range(0, groups, step_g):
            x = label[g : g + step_g]  # (g, N, D)
            for r in range(0, rows, step_r):
                here = slice(g, g + step_g), slice(r, r + step_r)
                index = own[r : r + step_r]
                logits = torch.baddbmm(
                    norm[g : g + step_g], prediction[here], x.transpose(1, 2), alpha=2 / lam
                )  # (g, r, N)
                positive = logits[:, torch.arange(len(index)), index]
                total = logits.logsumexp(-1)
                loss[here] = total - positive
                if grad is not None:  # 2 / lambda (softmax-weighted label - own label)
                    p = logits.sub_(total.unsqueeze(-1)).exp_()
                    grad[here] = (p @ x).sub_(x[:, index]).mul_(2 / lam)
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx, outer):
        (grad,) = ctx.saved_tensors
        return outer.unsqueeze(-1) * grad, None, None, None, None, None


def l_single(
    prediction: Tensor,
    label: Tensor,
    lam: float,
    own: Optional[Tensor] = None,
    valid: Optional[Tensor] = None,
    chunk: Optional[int] = None,
) -> Tensor:
    r"""``-log(exp(-|p - x|^2 / lam) / sum_{x' in B} exp(-|p - x'|^2 / lam))``.

    Args:
        prediction (Tensor): p, (G, R, D): G separate problems of R rows.
        label (Tensor): B, (G, N, D), in each problem; no gradient.
        lam (float): lambda = 2 sigma^2 > 0, in squared units of the labels.
        own (Tensor, optional): (R, ) long, which of the N labels is a row's
            x. Defaults to None, the one of the same index.
        valid (Tensor, optional): (G, N) bool, which labels are in B. A row
            whose own label is not in B gives infinity. Defaults to None, all.
        chunk (int, optional): Rows at a time: memory is chunk x N.
            Defaults to None, all rows at once.

    Returns:
        Tensor: (G, R).
    """
    if own is None:
        own = torch.arange(prediction.shape[1], device=prediction.device)
    return _LSingle.apply(prediction, label.detach(), own, lam, valid, chunk)


@MODELS.register_module()
class PatchContrast(nn.Module):
    r"""L_single of masked patches against the pseudo labels of the batch.

    The result is ``lambda / D * mean(L_single)``, ``lambda = temperature * D``
    with D values a patch: so its gradient is that of MAE's mean squared error
    plus the repulsion of the other labels, whatever the temperature.

    Args:
        negatives (str): What B holds besides the patch's own label.
            ``'batch'``: all masked patches of all images. ``'image'``: those
            of the same image. ``'index'``: those at the same position of
            other images, as the supplement's indices may be read. Defaults
            to ``'batch'`` (our choice).
        temperature (float): lambda / D > 0. Defaults to 0.1 (our choice: for
            labels of unit variance a perfect prediction then exceeds an
            uncorrelated label by 2 / 0.1 = 20 nats, which is 2 ln \|B\| for 147
            patches x 128 images).
        chunk (int, optional): Predictions compared at a time; memory grows
            with chunk x \|B\|. None takes all at once. Defaults to 1024.
        gather (bool): Let B span all processes, so that W processes equal
            one on the same global batch. Time then grows with the square of
            the global batch. Defaults to False: the batch of this process.

    Raises:
        ValueError: Unknown negatives, a temperature or chunk that is not
            positive.

    Note:
        Time grows with the square of the number of predictions for
        ``'batch'`` (ViT-B, 224 px: 2 G multiply-adds an image at 64 images
        a process, 17 at 512; a training step has about 45), with the number
        of images for ``'image'``.
    """

    NEGATIVES = ('batch', 'image', 'index')

    def __init__(
        self,
        negatives: str = 'batch',
        temperature: float = 0.1,
        chunk: Optional[int] = 1024,
        gather: bool = False,
    ) -> None:
        super().__init__()
        if negatives not in self.NEGATIVES:
            raise unknown(negatives, self.NEGATIVES, 'kind of negatives')
        if not temperature > 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        if chunk is not None and chunk < 1:
            raise ValueError(f'chunk must be at least 1 or None, got {chunk}')
        self.negatives, self.temperature = negatives, temperature
        self.chunk, self.gather = chunk, gather

    def forward(self, prediction: Tensor, label: Tensor, masked: Tensor) -> Tensor:
        """The loss, a scalar of at least float32.

        Args:
            prediction (Tensor): (B, Lm, D), one a masked patch.
            label (Tensor): (B, Lm, D), pseudo labels; no gradient.
            masked (Tensor): (B, Lm) long, positions of the masked patches
                among the L of the image; used by ``'index'``.
        """
        with torch.autocast(prediction.device.type, enabled=False):
            p, x = upcast(prediction), upcast(label.detach())
            b, _, d = p.shape
            lam, first, valid = self.temperature * d, 0, None
            if self.negatives == 'image':
                return self.temperature * l_single(p, x, lam, chunk=self.chunk).mean()
            if self.gather:
                x, first = torch.cat(all_gather(x.contiguous())), get_rank() * b
            if self.negatives == 'index':
                everywhere = torch.cat(all_gather(masked)) if self.gather else masked
                length = int(everywhere.max()) + 1
                rows, valid = (_by_position(i, i >= 0, length) for i in (masked, everywhere))
                p, x = _by_position(masked, p, length), _by_position(everywhere, x, length)
            else:
                p, x, first = p.flatten(0, 1)[None], x.flatten(0, 1)[None], first * p.shape[1]
            own = first + torch.arange(p.shape[1], device=p.device)
            loss = l_single(p, x, lam, own, valid, self.chunk)  # (G, R)
            return self.temperature * (loss if valid is None else loss[rows]).mean()

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return (
            f'negatives={self.negatives!r}, temperature={self.temperature}, '
            f'chunk={self.chunk}, gather={self.gather}'
        )


def _by_position(masked: Tensor, value: Tensor, length: int) -> Tensor:
    """(B, Lm, ...) at positions ``masked`` -> (L, B, ...), zero elsewhere."""
    out = value.new_zeros(length, len(masked), *value.shape[2:])
    image = torch.arange(len(masked), device=masked.device)[:, None].expand_as(masked)
    return out.index_put((masked, image), value)
