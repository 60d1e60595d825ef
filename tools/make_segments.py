"""Makes the segments of a set of images, once: python tools/make_segments.py DATA OUT --generator NAME."""
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
if (CHECKOUT / 'mssl_plugins').is_dir():  # else it is installed
    sys.path.insert(0, str(CHECKOUT))

from mssl_plugins.launch import guarded, needs  # noqa: E402


def main() -> int:
    """Checks what is installed and runs the tool."""
    needs('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mssl_plugins.datasets.make_segments import main as make_segments
    return make_segments()


if __name__ == '__main__':
    sys.exit(guarded(main))
