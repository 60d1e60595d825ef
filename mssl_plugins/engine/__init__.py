"""Hooks and optimizer wrappers; importing it fills the registry."""

from mssl_plugins.engine import bf16_optim_wrapper, ddp, fsdp, hooks, layer_decay  # noqa: F401
