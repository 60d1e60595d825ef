"""Pre-trains what a config describes: python tools/train.py CONFIG."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
if (CHECKOUT / 'mssl_plugins').is_dir():  # else it is installed
    sys.path.insert(0, str(CHECKOUT))

from mssl_plugins.commands.train import main

if __name__ == '__main__':
    sys.exit(main())
