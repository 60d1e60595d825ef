"""Parameters that are frozen at the beginning of training.

DINO's last layer in the first epoch (arXiv 2104.14294, its code), the
attention bias for 100 epochs (mask-guided attention bias, supplement A).
"""

import difflib
from typing import Iterable, List, Sequence, Union

from mmengine.hooks import Hook

from mssl_plugins.engine.hooks.schedule_hook import Schedule
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS


@HOOKS.register_module()
class FreezeHook(Hook):
    """Freezes parameters for the first part of training.

    Their gradients are dropped right before the optimizer's step, so neither
    the weights nor their optimizer state change, no weight decay acts, and
    data-parallel training needs no further setting.

    Args:
        names (str | Sequence[str]): Beginnings of parameter names, for
            example ``'head.last_layer'``.
        length (float): How long they are frozen. Defaults to 1.
        by_epoch (bool): Count ``length`` in epochs (True) or iterations
            (False). Defaults to True.

    Raises:
        ValueError: If ``length`` is negative; before training, if a name
            matches no parameter.

    Example:
        >>> dict(type='mssl_plugins.FreezeHook', names='head.last_layer', length=1)
    """

    def __init__(
        self, names: Union[str, Sequence[str]], length: float = 1, by_epoch: bool = True
    ) -> None:
        self.names = [names] if isinstance(names, str) else list(names)
        self.frozen = Schedule('frozen', 1, 0, curve='step', length=length, by_epoch=by_epoch)

    def before_train(self, runner) -> None:
        """Finds the parameters and drops their gradients before every step.

        Raises:
            ValueError: If a name is the beginning of no parameter's.
        """
        model = unwrap(runner.model)
        named = dict(model.named_parameters())
        self.parameters = []
        for name in self.names:
            fit = [p for key, p in named.items() if key == name or key.startswith(name + '.')]
            if not fit:
                near = difflib.get_close_matches(name, prefixes(named), n=1)
                raise ValueError(
                    f"FreezeHook: no parameter of {type(model).__name__} begins with '{name}'"
                    + (f"; did you mean '{near[0]}'?" if near else '')
                )
            self.parameters += fit
        loop = runner.train_loop
        sizes = len(loop.dataloader), loop.max_iters

        def drop(optimizer, args, kwargs) -> None:
            if self.frozen.value(runner.iter, *sizes):
                for parameter in self.parameters:
                    parameter.grad = None

        self.handle = runner.optim_wrapper.optimizer.register_step_pre_hook(drop)

    def after_train(self, runner) -> None:
        """Leaves the optimizer as it was."""
        self.handle.remove()


def prefixes(names: Iterable[str]) -> List[str]:
    """All beginnings of dotted names, ``a.b.c`` -> a, a.b, a.b.c."""
    found = {}
    for name in names:
        parts = name.split('.')
        found.update(('.'.join(parts[: i + 1]), None) for i in range(len(parts)))
    return list(found)
