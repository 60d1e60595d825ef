"""Linear classifiers on a frozen backbone, for the stock runner.

The backbone gets no gradient and is always in evaluation mode, so that its
parameters and BatchNorm statistics never change.  Which of its layers are used is
listed in :mod:`mssl_plugins.models.readout` (last layer, last 4 blocks,
conv1-conv5).
"""

from typing import List, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModule
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F

from mssl_plugins.models.readout import CONVS, read_layers
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class ProbeClassifier(ImageClassifier):
    """mmpretrain's classifier whose backbone is frozen.

    Args:
        features (str | Sequence[str]): What the neck and head get: 'auto',
            'cls', 'avg', 'blocks4', or several of 'conv1' ... 'conv5'.
            Defaults to 'auto': the class token, or the average where there is
            none.
        **kwargs: Those of mmpretrain's ``ImageClassifier``.

    Raises:
        ValueError: At the first step, if the backbone has no such features.
    """

    def __init__(self, *args, features: Union[str, Sequence[str]] = 'auto', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.features = [features] if isinstance(features, str) else list(features)
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True) -> 'ProbeClassifier':
        """Sets the mode; the backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def extract_feat(self, inputs: Tensor, stage: str = 'neck'):
        """Images (B, 3, H, W) -> a tuple of (B, D), one for each kind."""
        with torch.no_grad():
            found = read_layers(self.backbone, inputs, self.features)
        out = tuple(found[k] for k in self.features)
        if stage != 'backbone' and self.with_neck:
            out = self.neck(out)
        return self.head.pre_logits(out) if stage == 'pre_logits' else out


@MODELS.register_module()
class MultiLayerHead(BaseModule):
    """One linear classifier for each layer, each after its own BatchNorm.

    MaskCo's supplement, A.3: BatchNorm without affine before each classifier.

    Args:
        num_classes (int): Number of classes.
        in_channels (Sequence[int]): Dimensions of the layers.
        names (Sequence[str]): Their names in the log. Defaults to conv1 ...
            conv5.
        std (float): Standard deviation of the initial weights. Defaults to 0.01.
        init_cfg (dict, optional): Defaults to None.

    Raises:
        ValueError: If ``names`` and ``in_channels`` differ in number, or features
            have other dimensions.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        names: Sequence[str] = CONVS,
        std: float = 0.01,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(names) != len(in_channels):
            raise ValueError(
                f'{len(names)} layers ({", ".join(names)}) need '
                f'as many in_channels, got {list(in_channels)}'
            )
        self.names = list(names)
        self.num_classes = num_classes
        self.norms = nn.ModuleList(nn.BatchNorm1d(c, affine=False) for c in in_channels)
        self.fcs = nn.ModuleList(nn.Linear(c, num_classes) for c in in_channels)
        for fc in self.fcs:
            nn.init.normal_(fc.weight, std=std)
            nn.init.zeros_(fc.bias)

    def forward(self, feats: Tuple[Tensor, ...]) -> List[Tensor]:
        """(B, D) of each layer -> (B, num_classes) of each.

        Raises:
            ValueError: If a layer has other dimensions than ``in_channels`` says.
        """
        for name, fc, x in zip(self.names, self.fcs, feats):
            if x.shape[1] != fc.in_features:
                raise ValueError(
                    f'{name} has {x.shape[1]} dimensions, in_channels says {fc.in_features}'
                )
        return [fc(norm(x)) for fc, norm, x in zip(self.fcs, self.norms, feats)]

    def loss(self, feats: Tuple[Tensor, ...], data_samples: List[DataSample], **kwargs) -> dict:
        """The cross-entropy of each classifier, as ``loss_NAME``."""
        target = torch.cat([s.gt_label for s in data_samples]).to(feats[0].device)
        return {
            f'loss_{name}': F.cross_entropy(scores, target)
            for name, scores in zip(self.names, self(feats))
        }

    def predict(
        self, feats: Tuple[Tensor, ...], data_samples: Optional[List[DataSample]] = None
    ) -> List[DataSample]:
        """``layer_labels`` (layers,) of every sample; the last is ``pred_label``."""
        labels = torch.stack([s.argmax(1) for s in self(feats)], 1).cpu()
        data_samples = data_samples or [DataSample() for _ in labels]
        for sample, found in zip(data_samples, labels):
            sample.set_field(found, 'layer_labels')
            sample.set_field(self.names, 'layer_names', field_type='metainfo')
            sample.set_pred_label(found[-1:])
        return data_samples
