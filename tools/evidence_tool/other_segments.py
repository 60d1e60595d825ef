"""The segments of another image: the control for what segments tell of their own."""

from mssl_plugins.datasets.scenes import Scenes
from mssl_plugins.registry import DATASETS


@DATASETS.register_module()
class ScenesOtherSegments(Scenes):
    """Scenes that carry the segments of the scene half the set away.

    Args:
        **kwargs: Those of ``mssl_plugins.Scenes``, with ``segments=True``.
    """

    def render(self, scene: int, label: int) -> dict:
        """A scene, and another's ``segments``."""
        sample = super().render(scene, label)
        other = (scene + self.length // 2) % self.length
        sample['segments'] = super().render(other, other % len(self.names))['segments']
        return sample
