"""``python -m mssl_plugins``."""
import sys

from mssl_plugins.cli import main

if __name__ == '__main__':
    sys.exit(main())
