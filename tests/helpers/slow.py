"""A hook that slows a run down without a processor's time, for tests that interrupt it."""

import time

from mmengine.hooks import Hook

from mssl_plugins.registry import HOOKS

# what a config says to have it
SLOW = """
custom_imports = dict(imports=['helpers.slow'])
custom_hooks = [dict(type='mssl_plugins.SlowHook', seconds=0.05)]
"""


@HOOKS.register_module(force=True)
class SlowHook(Hook):
    """Sleeps after every iteration."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        time.sleep(self.seconds)
