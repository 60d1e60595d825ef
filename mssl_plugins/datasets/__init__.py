"""Datasets, samplers and transforms."""
from .sampler import EpochSampler, SampleIndex, sample_rng

__all__ = ['EpochSampler', 'SampleIndex', 'sample_rng']
