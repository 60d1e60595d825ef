"""Masked self-supervised learning for OpenMMLab.

The Python API is ``import mssl_plugins as mp``: ``mp.list_models``,
``mp.get_config``, ``mp.get_model``, ``mp.extract_features``, ``mp.evaluate``
and ``mp.train``, all documented in :mod:`mssl_plugins.api`. It is opened by its
first use, so that importing the package takes no time.
"""

from importlib import import_module

__version__ = '0.1.0'

#: What :mod:`mssl_plugins.api` holds.
API = (
    'Features',
    'Trained',
    'evaluate',
    'extract_features',
    'get_config',
    'get_model',
    'list_models',
    'train',
)
__all__ = ['__version__', *API]


def __getattr__(name: str):
    if name in API:
        return getattr(import_module(f'{__name__}.api'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted({*globals(), *API})
