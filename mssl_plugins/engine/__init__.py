"""Hooks and optimiser wrappers; importing it fills the registry."""
from . import hooks, layer_decay, optim, wrapper  # noqa: F401
