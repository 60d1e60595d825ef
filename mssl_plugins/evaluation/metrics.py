"""Accuracy of the classifiers on several layers (MaskCo's supplement, A.3)."""

from typing import Sequence

import torch
from mmengine.evaluator import BaseMetric

from mssl_plugins.registry import METRICS


@METRICS.register_module()
class LayerAccuracy(BaseMetric):
    """Top-1 accuracy in % of every layer's classifier: ``accuracy/conv1`` ..."""

    default_prefix = 'accuracy'

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Records which layers' classifiers were right."""
        for sample in data_samples:
            right = sample['layer_labels'] == sample['gt_label'].cpu()
            self.results.append((sample['layer_names'], right.tolist()))

    def compute_metrics(self, results: list) -> dict:
        """Means over all samples."""
        right = torch.tensor([r for _, r in results]).double().mean(0) * 100
        return dict(zip(results[0][0], right.tolist()))
