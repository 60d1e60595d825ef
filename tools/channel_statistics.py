"""Mean and standard deviation of channels: python tools/channel_statistics.py DATA."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
if (CHECKOUT / 'mssl_plugins').is_dir():  # else it is installed
    sys.path.insert(0, str(CHECKOUT))

from mssl_plugins.commands.channel_statistics import main
from mssl_plugins.errors import run_cli

if __name__ == '__main__':
    sys.exit(run_cli(main))
