"""Self-distillation without labels: DINO's loss (arXiv 2104.14294, section 3.1).

Equations 1-3, centering of equation 4.
"""

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class DINOLoss(nn.Module):
    r"""Cross-entropy of the student's views with the teacher's, which are centered and sharpened.

    ::

        P_t = softmax((z_t - center) / teacher_temp)
        P_s = softmax(z_s / student_temp)
        loss = mean over t != s and images of  -P_t . log P_s

    The center is a buffer, hence in every checkpoint, under DINO's own name.

    Args:
        out_channels (int): Prototypes K. Defaults to 65536.
        student_temp (float): Defaults to 0.1.
        teacher_temp (float): Warmed up by ``mssl_plugins.ScheduleHook`` on
            ``criterion.teacher_temp``. Defaults to 0.04.
        center_momentum (float): m of ``center = m center + (1 - m) mean``; 1
            keeps the center at zero. Defaults to 0.9.

    Raises:
        ValueError: Temperatures that are not positive, a momentum outside
            [0, 1].
    """

    def __init__(
        self,
        out_channels: int = 65536,
        student_temp: float = 0.1,
        teacher_temp: float = 0.04,
        center_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        if not (student_temp > 0 and teacher_temp > 0):
            raise ValueError(
                f'temperatures must be positive, got student {student_temp}, teacher {teacher_temp}'
            )
        if not 0 <= center_momentum <= 1:
            raise ValueError(f'center_momentum must lie in [0, 1], got {center_momentum}')
        self.student_temp, self.teacher_temp = student_temp, teacher_temp
        self.center_momentum = center_momentum
        self.register_buffer('center', torch.zeros(out_channels))

    @torch.no_grad()
    def target(self, teacher: Tensor) -> Tensor:
        """P_t of logits (..., K), at least float32."""
        return ((upcast(teacher) - self.center) / self.teacher_temp).softmax(-1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss with the center as it is.

        Args:
            student (Tensor): Logits of S views, (S, B, K).
            teacher (Tensor): Logits of the first T of these views, (T, B, K).

        Returns:
            Tensor: Scalar, at least float32.

        Raises:
            ValueError: If there is no pair of different views.
        """
        if len(student) < 2:
            raise ValueError(
                f'DINO compares different views: the student needs at least 2, got {len(student)}'
            )
        with torch.autocast(student.device.type, enabled=False):
            target = self.target(teacher)
            z = upcast(student) / self.student_temp
            # -P_t . log softmax(z) = logsumexp(z) - P_t . z, as P_t sums to 1
            cross = z.logsumexp(-1) - torch.einsum('tbk,sbk->tsb', target, z)
            pairs = 1 - torch.eye(len(teacher), len(student), dtype=z.dtype, device=z.device)
            return (cross.mean(-1) * pairs).sum() / pairs.sum()

    @torch.no_grad()
    def update(self, teacher: Tensor) -> None:
        """One EMA step of the center with a batch of all processes, (T, B, K)."""
        with torch.autocast(teacher.device.type, enabled=False):
            mean = upcast(teacher).flatten(0, -2).mean(0)
            all_reduce(mean, op='mean')
            self.center.lerp_(mean.to(self.center), 1 - self.center_momentum)

    def extra_repr(self) -> str:
        """Temperatures and momentum, for printing."""
        return (
            f'student_temp={self.student_temp}, teacher_temp={self.teacher_temp}, '
            f'center_momentum={self.center_momentum}'
        )
