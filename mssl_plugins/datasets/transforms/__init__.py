"""Transforms from an image to the views that a method learns from."""

from mssl_plugins.datasets.transforms.color import ColorJitter, Lighting
from mssl_plugins.datasets.transforms.maskco_views import MaskCoViews
from mssl_plugins.datasets.transforms.pack import PackViews
from mssl_plugins.datasets.transforms.views import CenterView, Views

__all__ = ['CenterView', 'ColorJitter', 'Lighting', 'MaskCoViews', 'PackViews', 'Views']
