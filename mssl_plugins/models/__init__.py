"""Everything a model is built of; importing it fills the registry."""
from . import backbones, heads, losses, necks, preprocessor, probe, selfsup, split_bn  # noqa: F401
