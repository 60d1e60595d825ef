"""Datasets, samplers and transforms."""
from .folder import ImageFolder, PackedImages, TinyImageNet
from .labelled import LabelledImages
from .maskco_views import MaskCoViews
from .samples import Scenes
from .sampler import EpochSampler, SampleIndex, sample_rng
from .segments import LoadSegments, SegmentsFile
from .views import CenterView, PackViews, Views

__all__ = [
    'CenterView', 'EpochSampler', 'ImageFolder', 'LabelledImages', 'LoadSegments', 'MaskCoViews',
    'PackViews', 'PackedImages', 'SampleIndex', 'Scenes', 'SegmentsFile', 'TinyImageNet', 'Views',
    'sample_rng'
]
