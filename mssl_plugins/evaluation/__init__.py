"""Measuring backbones: k-NN, probes, fine-tuning protocols, collapse."""
from .collapse import effective_rank, feature_std
from .features import extract_features
from .knn import knn_accuracy, knn_predict, knn_scores
from .metrics import LayerAccuracy

__all__ = [
    'LayerAccuracy', 'effective_rank', 'extract_features', 'feature_std', 'knn_accuracy',
    'knn_predict', 'knn_scores'
]
