"""A short form of the tool that kills runs, as its command runs it."""

import re
import subprocess
import sys

from helpers.paths import ROOT


def line(name, *argv):
    """What a tool prints last."""
    command = [sys.executable, str(ROOT / f'tools/reliability/{name}.py'), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_killed_runs_go_on_with_the_same_losses():
    said = line('kills', '--n', '2', '--per-case', '2', '--seed', '5')
    equal, whole = map(int, re.search(r'(\d+) of (\d+) losses equal', said).groups())
    assert said.startswith('2 SIGKILLs') and equal == whole >= 12
