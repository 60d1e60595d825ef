"""Self-distillation of masked patches: iBOT's loss (arXiv 2111.07832, equation 2)."""

import torch
from torch import Tensor

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.losses.dino import DINOLoss
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class IBOTPatchLoss(DINOLoss):
    """Cross-entropy of the student's masked patches with the teacher's unmasked ones.

    ::

        P_t = softmax((z_t - center) / teacher_temp)
        P_s = softmax(z_s / student_temp)
        loss = sum over masked patches of  -weight P_t . log P_s

    Center and temperatures are separate from those of the class token; see
    :class:`DINOLoss`.
    """

    def forward(self, student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
        """The loss with the center as it is.

        Args:
            student (Tensor): Logits of M masked patches, (M, K).
            teacher (Tensor): Logits of the same patches, unmasked, (M, K).
            weight (Tensor): (M,), for each patch.

        Returns:
            Tensor: Scalar, at least float32; 0 without patches.
        """
        with torch.autocast(student.device.type, enabled=False):
            z = upcast(student) / self.student_temp
            # -P_t . log softmax(z) = logsumexp(z) - P_t . z, as P_t sums to 1
            cross = z.logsumexp(-1) - (self.target(teacher) * z).sum(-1)
            return (cross * weight.to(cross)).sum()
