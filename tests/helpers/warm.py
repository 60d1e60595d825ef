"""What every training run imports, for the server that runs are forked from."""

import gc
from importlib import import_module

from yapf.yapflib import yapf_api

from mssl_plugins.report.plots import plot

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
    'skimage.segmentation',
):
    import_module(name)
plot('of a report', {'its fonts': [(1, 1.0)]})


def plain(text: str, **kwargs) -> tuple:
    """A config's dump as it is: laid out by yapf it takes a tenth of a second or more."""
    return text, True


yapf_api.FormatCode = plain
gc.freeze()  # a run looks through its own objects, not through those it shares
