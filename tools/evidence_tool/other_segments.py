"""The segments of another image: the control for what segments tell of their own."""

from mssl_plugins.registry import TRANSFORMS
from mssl_plugins.segments import LoadSegments


@TRANSFORMS.register_module()
class LoadOtherSegments(LoadSegments):
    """Loads the segments of an image half the store away.

    The images are of one size, and all of them have segments.

    Args:
        segments (str): The store.
    """

    def transform(self, results: dict) -> dict:
        """Adds another image's ``segments`` to a sample."""
        results = super().transform(results)
        name = results.get('img_path') or str(int(results['sample_idx']))
        other = int(self.store.find([name])[0]) + len(self.store) // 2
        results['segments'] = self.store.read(other % len(self.store))
        return results
