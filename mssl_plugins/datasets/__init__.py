"""Datasets, samplers and transforms."""
from .folder import ImageFolder, PackedImages, TinyImageNet
from .maskco_views import MaskCoViews
from .samples import Scenes
from .sampler import EpochSampler, SampleIndex, sample_rng
from .views import CenterView, PackViews, Views

__all__ = [
    'CenterView', 'EpochSampler', 'ImageFolder', 'MaskCoViews', 'PackViews', 'PackedImages',
    'SampleIndex', 'Scenes', 'TinyImageNet', 'Views', 'sample_rng'
]
