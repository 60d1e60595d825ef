"""Writes backbones for other libraries."""

from mssl_plugins.export.package import export
from mssl_plugins.export.targets import TARGETS

__all__ = ['TARGETS', 'export']
