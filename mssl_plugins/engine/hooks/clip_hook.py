"""Gradient clipping parameter by parameter (DINO, arXiv 2104.14294, its code)."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from mssl_plugins.distributed import is_cut, own_part
from mssl_plugins.registry import HOOKS


@HOOKS.register_module()
class ClipEachHook(Hook):
    """Clips the gradient of each parameter to a norm of its own.

    mmengine's ``clip_grad`` and ``torch.nn.utils.clip_grad_norm_`` measure
    the norm over all parameters together.  This hook acts right before the
    optimizer's step, hence after accumulation, unscaling and the sum over
    processes, with any optimizer wrapper, sharded parameters included.

    Args:
        max_norm (float): Largest L2 norm of a parameter's gradient. Defaults
            to 3.0, DINO's.

    Raises:
        ValueError: If ``max_norm`` is not positive.
    """

    def __init__(self, max_norm: float = 3.0) -> None:
        if not max_norm > 0:
            raise ValueError(f'max_norm must be positive, got {max_norm}')
        self.max_norm = max_norm

    def before_train(self, runner) -> None:
        """Clips before every step that the optimizer makes."""
        self.handle = runner.optim_wrapper.optimizer.register_step_pre_hook(self._clip)

    def after_train(self, runner) -> None:
        """Leaves the optimizer as it was."""
        self.handle.remove()

    @torch.no_grad()
    def _clip(self, optimizer, args, kwargs) -> None:
        whole = [
            p.grad
            for group in optimizer.param_groups
            for p in group['params']
            if p.grad is not None
        ]
        if whole:
            grads = [own_part(grad) for grad in whole]
            norms = torch.stack(torch._foreach_norm(grads))
            if is_cut(whole[0]):  # the squares of the parts' norms add up
                norms = norms.square()
                all_reduce(norms)
                norms = norms.sqrt()
            scales = (self.max_norm / (norms + 1e-6)).clamp_(max=1)
            torch._foreach_mul_(grads, list(scales.unbind()))
