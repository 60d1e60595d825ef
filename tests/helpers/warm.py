"""What training runs import and do, for the server that they are forked from."""

import gc
from importlib import import_module

from mssl_plugins.errors import quick_imports

with quick_imports():
    for name in (
        'mmpretrain.visualization',
        'mssl_plugins.commands.train',
        'mssl_plugins.datasets.transforms',
        'mssl_plugins.engine',
        'mssl_plugins.evaluation',
        'mssl_plugins.models',
        'mssl_plugins.segments',
        'mssl_plugins.training',
        'setuptools',  # MMEngine asks it for the compiler
        'skimage.segmentation._felzenszwalb',  # which skimage imports when it is used
        'skimage.segmentation.slic_superpixels',
        'torch.utils.tensorboard',  # every run writes for it
    ):
        import_module(name)
    import_module('mssl_plugins.report.plots').plot('of a report', {'its fonts': [(1, 1.0)]})
    gc.freeze()  # a run looks through its own objects, not through those it shares


def plain(text: str, **kwargs) -> tuple:
    """A config's dump as it is: laid out by yapf it takes a tenth of a second or more."""
    return text, True


import_module('yapf.yapflib.yapf_api').FormatCode = plain
