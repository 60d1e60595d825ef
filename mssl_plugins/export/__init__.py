"""Backbones for other libraries, and theirs for ours."""

from mssl_plugins.export.package import export
from mssl_plugins.export.targets import TARGETS

__all__ = ['TARGETS', 'export']
