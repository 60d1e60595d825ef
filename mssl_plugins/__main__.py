"""``python -m mssl_plugins``."""

import sys

from mssl_plugins.commands.main import main

if __name__ == '__main__':
    sys.exit(main())
