"""Measuring backbones: k-NN, probes, fine-tuning protocols, collapse."""

from mssl_plugins.evaluation.collapse import effective_rank, feature_std
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.evaluation.knn import knn_accuracy, knn_predict, knn_scores
from mssl_plugins.evaluation.metrics import LayerAccuracy

__all__ = [
    'LayerAccuracy',
    'effective_rank',
    'extract_features',
    'feature_std',
    'knn_accuracy',
    'knn_predict',
    'knn_scores',
]
