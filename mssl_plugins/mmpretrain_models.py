"""mmpretrain's models, imported without mmdet.

mmpretrain makes a head for mmdet, ``ResLayerExtraNorm``, if it can import mmdet.  This
would take a third of the start time of a command with a network.  Where mmdet is loaded
already, as in mmdet's own tools, the head is made as usual.  Our commands make it when
they read a config of mmdet.  In a script of your own, call :func:`with_mmdet` before you
use the head, if you imported this library before mmdet.
"""

import importlib
import sys

sys.modules.setdefault('mmdet', None)  # unless loaded, its import fails as if not installed
try:
    import mmpretrain.models as models
finally:
    if sys.modules['mmdet'] is None:
        del sys.modules['mmdet']


def with_mmdet() -> None:
    """Makes mmpretrain's head for mmdet, which configs of mmdet may name."""
    module = sys.modules['mmpretrain.models.utils.res_layer_extra_norm']
    if module.ResLayerExtraNorm is None:
        models.utils.ResLayerExtraNorm = importlib.reload(module).ResLayerExtraNorm
