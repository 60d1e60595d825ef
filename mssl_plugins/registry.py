"""The registries of this library, one per MMEngine root registry.

Each is a direct child of MMEngine's root with the scope ``mssl_plugins``.
MMEngine then resolves ``type='mssl_plugins.X'`` under any ``default_scope``
(mmpretrain, mmdet, mmseg, none) and imports the modules in ``locations`` on
first use, so that no ``custom_imports`` is needed.  A child of mmpretrain's
registry would not be found from mmdet or mmseg.
"""

from mmengine import registry as root
from mmengine.registry import Registry

SCOPE = 'mssl_plugins'


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(
        parent.name,
        parent=parent,
        scope=SCOPE,
        locations=[f'{SCOPE}.{place}' for place in locations],
    )


MODELS = _child(root.MODELS, 'models')
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, 'engine')
DATASETS = _child(root.DATASETS, 'datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child(root.TRANSFORMS, 'datasets.transforms', 'segments')
FUNCTIONS = _child(root.FUNCTIONS, 'datasets')
HOOKS = _child(root.HOOKS, 'engine')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
OPTIMIZERS = _child(root.OPTIMIZERS, 'engine')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'engine')
METRICS = _child(root.METRICS, 'evaluation')
VISUALIZERS = _child(root.VISUALIZERS, 'visualization')
