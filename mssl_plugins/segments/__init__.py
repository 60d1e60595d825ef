"""Segments of image sets: made once, stored, loaded beside their images."""
from mssl_plugins.segments.store import LoadSegments, SegmentsFile

__all__ = ['LoadSegments', 'SegmentsFile']
