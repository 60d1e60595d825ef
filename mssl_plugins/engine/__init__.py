"""Hooks and optimiser wrappers; importing it fills the registry."""
from . import hooks, optim, wrapper  # noqa: F401
