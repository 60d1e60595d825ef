"""All parts of models; importing it fills the registry."""

from mssl_plugins import mmpretrain_models  # noqa: F401, before others import mmpretrain's models
from mssl_plugins.models import backbones, heads, losses, necks, preprocessor, probe, selfsup  # noqa: F401
from mssl_plugins.models.layers import patches, split_bn  # noqa: F401
