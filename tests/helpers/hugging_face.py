"""The environment of transformers 5, which does not go with mmpretrain; tools/test.sh makes it."""

import os
import subprocess
import sys
from pathlib import Path

PYTHON = Path(sys.prefix) / 'hf/bin/python'
ABSENT = f'no {PYTHON}: tools/test.sh makes this environment for transformers'


def run_there(code: str, *argv) -> str:
    """Runs Python code there, and holds that it succeeds; what it printed."""
    done = subprocess.run(
        [str(PYTHON), '-c', code, *map(str, argv)],
        text=True,
        capture_output=True,
        env={**os.environ, 'PYTHONPATH': ''},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
