"""Hooks and optimiser wrappers; importing it fills the registry."""
from . import hooks, optim  # noqa: F401
