"""The momentum (EMA) teacher of every method that has one.

MoCo section 3.2, BYOL section 3.1 and DINO section 3.1 share the rule
``teacher = m * teacher + (1 - m) * student``.  Here ``m`` is the papers'
momentum (0.996 -> 1), not mmengine's ``1 - m``.
"""

import copy
import warnings

import torch
from torch import nn

from mssl_plugins.distributed import own_part


class MomentumTeacher(nn.Module):
    """An exponential moving average (EMA) of a student, without gradient.

    Only :meth:`update` changes the teacher's weights;
    ``mssl_plugins.TeacherHook`` calls it after each optimizer step, so that
    a loss that is evaluated three times an iteration, or accumulated over
    several, still counts once.  State-dict keys (``module.*``, ``steps``)
    are those of mmengine's averaged models.

    Args:
        student (nn.Module): The network to average. It is not registered as a
            child, so that its parameters appear once in the state dict.
        momentum (float): m, in [0, 1]. May be scheduled by
            ``mssl_plugins.ScheduleHook``. Defaults to 0.999.

    Raises:
        ValueError: If ``momentum`` is outside [0, 1].

    Note:
        BatchNorm statistics are the teacher's own: they come from its forward
        passes, not from the student.
    """

    #: forward passes without an update after which the teacher warns once
    PATIENCE = 1000

    def __init__(self, student: nn.Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(
                f'momentum must lie in [0, 1], got {momentum}; it is the '
                "papers' m (0.996 -> 1), not 1 - m"
            )
        self.momentum = momentum
        self.module = copy.deepcopy(student).requires_grad_(False)
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self._student = (student,)  # a tuple: no child module
        self._checked = False
        self._idle = 0

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._checked = False

    @torch.no_grad()
    def sync(self) -> None:
        """Copies the student's weights if there was no EMA update yet.

        The student is initialized (``init_weights``, pre-trained weights)
        after this object was made, so the copy is made at first use.
        """
        if self.steps == 0:
            own, student = (
                [*network.parameters(), *network.buffers()]
                for network in (self.module, self._student[0])
            )
            for value, given in zip(own, student):
                value.copy_(given)
        self._checked = True

    @torch.no_grad()
    def update(self) -> None:
        """EMA update: ``teacher = m * teacher + (1 - m) * student``."""
        if not self._checked:
            self.sync()
        # Of a sharded network each process updates its own parts.
        own, student = (
            [own_part(p.detach()) for p in network.parameters()]
            for network in (self.module, self._student[0])
        )
        torch._foreach_lerp_(own, student, 1 - self.momentum)
        self.steps += 1
        self._idle = 0

    @torch.no_grad()
    def forward(self, *args, **kwargs):
        """The teacher's output, without gradient."""
        if not self._checked:  # reading `steps` would wait for the device each time
            self.sync()
        if self.training:
            self._idle += 1
            if self._idle == self.PATIENCE:
                warnings.warn(
                    f'the momentum teacher was used {self.PATIENCE} times and '
                    "never updated: add dict(type='mssl_plugins.TeacherHook') "
                    'to custom_hooks'
                )
        return self.module(*args, **kwargs)
