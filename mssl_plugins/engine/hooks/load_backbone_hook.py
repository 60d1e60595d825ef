"""Pre-trained weights into a detector or segmentor, with a report."""

from pathlib import Path
from typing import Union

from mmengine.hooks import Hook
from torch import nn

from mssl_plugins.checkpoints.compare import KeyReport
from mssl_plugins.checkpoints.loading import load_backbone
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS

SHARED = 'roi_head.shared_head'


class BackboneAndSharedHead(nn.Module):
    """A ResNet whose last stage is in the head of a C4 detector."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        for name, child in backbone.named_children():
            self.add_module(name, child)
        for name, child in head.named_children():
            if name.startswith('layer'):  # not the extra norm, which starts fresh
                self.add_module(name, child)


def load_pretrained(model: nn.Module, path: Union[str, Path], branch: str = 'student') -> KeyReport:
    """Loads a checkpoint's backbone into a detector or segmentor.

    Args:
        model (nn.Module): Has a ``backbone``. Where it is a C4 detector, the
            last stage goes into ``roi_head.shared_head``.
        path (str | Path): A checkpoint, see
            :func:`mssl_plugins.checkpoints.loading.load_checkpoint_safely`.
        branch (str): 'student' or 'teacher'. Defaults to 'student'.

    Returns:
        KeyReport: Matched, missing and unexpected keys; of missing ones
        only those that start at zero by design (relative positions).

    Raises:
        TypeError: If the model has no backbone.
        FileNotFoundError: If there is no such file.
        ValueError: If any other key of the backbone is missing, or has
            another shape.
    """
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, nn.Module):
        raise TypeError(f'{type(model).__name__} has no backbone to load into')
    shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
    if shared is not None:
        backbone = BackboneAndSharedHead(backbone, shared)
    return load_backbone(backbone, path, branch)


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Loads the backbone before training and logs what was loaded.

    Unlike ``init_cfg=dict(type='Pretrained')``, which warns, it stops where
    any key of the backbone is missing; it finds the backbone in any
    checkpoint of this library, and fills the shared head of a C4 detector. A
    resumed run keeps its own weights.

    Args:
        checkpoint (str): The file; empty for random weights. Defaults to ''.
        branch (str): 'student' or 'teacher' (momentum encoder). Defaults to
            'student'.

    Raises:
        ValueError: See :func:`load_pretrained`.
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str = '', branch: str = 'student') -> None:
        self.checkpoint = checkpoint
        self.branch = branch

    def before_train(self, runner) -> None:
        """Loads the backbone, unless the run is resumed."""
        if runner.iter > 0:
            return
        if not self.checkpoint:
            runner.logger.warning(
                'no pre-trained checkpoint is named: the backbone starts as its init_cfg says'
            )
            return
        model = unwrap(runner.model)
        report = load_pretrained(model, self.checkpoint, self.branch)
        if any(key.startswith('mask_bias') for key in report.unexpected):
            runner.logger.warning(
                'this backbone was trained with masks beside the image (phase 1), which this '
                'model does not give it: take the student of phase 2'
            )
        shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
        new = ' (start at zero by design)' if report.missing else ''
        runner.logger.info(
            f'backbone of {self.checkpoint} ({self.branch}): {len(report.matched)} keys matched, '
            f'{len(report.missing)} missing{new}, '
            f'{len(report.unexpected)} unexpected; {report}'
            + (f'; the last stage went into {SHARED}' if shared is not None else '')
        )
