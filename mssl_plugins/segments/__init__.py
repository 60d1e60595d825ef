"""Segments of image sets: made once, stored, loaded with their images."""

from mssl_plugins.segments.store import SegmentStore
from mssl_plugins.segments.transform import LoadSegments

__all__ = ['LoadSegments', 'SegmentStore']
