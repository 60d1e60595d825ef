"""Datasets and samplers."""

from mssl_plugins.datasets.folder import ImageFolder, TinyImageNet
from mssl_plugins.datasets.given import GivenImages
from mssl_plugins.datasets.image_shards import ImageShards
from mssl_plugins.datasets.labelled import LabelledImages
from mssl_plugins.datasets.packed import PackedImages
from mssl_plugins.datasets.sampler import EpochSampler, SampleIndex, sample_rng
from mssl_plugins.datasets.scenes import Scenes

__all__ = [
    'EpochSampler',
    'GivenImages',
    'ImageFolder',
    'ImageShards',
    'LabelledImages',
    'PackedImages',
    'SampleIndex',
    'Scenes',
    'TinyImageNet',
    'sample_rng',
]
