"""Layer-wise learning-rate decay inside detectors and segmentors.

ASL's supplement, section 3.4 (0.65 for UperNet), after BEiT (arXiv
2106.08254) and ViTDet (arXiv 2203.16527, section A.2).
"""

from functools import partial
from typing import Callable, List, Optional

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mssl_plugins.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer decay, for models that hold a ``backbone``.

    The learning rate is multiplied by ``layer_decay_rate`` to the power of
    L + 1 for the embeddings, L .. 1 for blocks 1 .. L, and 0 for all that
    follows. mmpretrain's constructor needs a model that knows the depth of
    its parameters, which detectors and segmentors do not; mmdet's takes
    ConvNeXt only.

    Args:
        optim_wrapper_cfg (dict): The optimizer wrapper.
        paramwise_cfg (dict): ``layer_decay_rate``, ``norm_decay_mult``,
            ``bias_decay_mult``, ``flat_decay_mult``, ``custom_keys`` as in
            mmpretrain.

    Raises:
        TypeError: If the backbone does not know its depth.
    """

    def add_params(
        self,
        params: List[dict],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Optional[Callable] = None,
        **kwargs,
    ) -> None:
        """Adds one group for each parameter, as mmpretrain's constructor does.

        Raises:
            TypeError: If the backbone does not tell the depth of its layers.
        """
        if get_layer_depth is None:
            backbone = getattr(module, 'backbone', None)
            if not hasattr(backbone, 'get_layer_depth'):
                raise TypeError(
                    'layer decay needs a model whose backbone has get_layer_depth, a ViT for '
                    f'example; {type(module).__name__} has {type(backbone).__name__}'
                )
            get_layer_depth = partial(backbone.get_layer_depth, prefix='backbone.')
        super().add_params(params, module, prefix=prefix, get_layer_depth=get_layer_depth, **kwargs)
