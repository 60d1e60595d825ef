"""Backbones for other libraries, and theirs for ours."""
from .package import export
from .targets import TARGETS

__all__ = ['TARGETS', 'export']
