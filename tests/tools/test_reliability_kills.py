"""A short form of the tool that kills runs, as its command runs it; what is kept of its cases."""

import re
import subprocess
import sys

from helpers.paths import ROOT
from helpers.tools import tool


def line(name, *argv):
    """What a tool prints last, and what it says beside."""
    command = [sys.executable, str(ROOT / f'tools/reliability/{name}.py'), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1], done.stderr


def test_killed_runs_go_on_with_the_same_losses(tmp_path):
    argv = ['kills', '--n', '2', '--per-case', '2', '--seed', '5', '--pieces', tmp_path]
    said, shown = line(*argv)
    equal, whole = map(int, re.search(r'(\d+) of (\d+) losses equal', said).groups())
    # Every second kill waits for a checkpoint that is being written; the others meet one by chance.
    assert re.match(r'2 SIGKILLs \([12] while saving\)', said) and equal == whole >= 12
    assert said.endswith(' 0 runs failed') and 'Case(' in shown
    again, shown = line(*argv)  # its cases are kept
    assert again == said and 'Case(' not in shown


def test_pieces_of_other_settings_and_cut_ones_are_none(tmp_path):
    Pieces = tool('reliability/pieces').Pieces
    Pieces('a', dict(seed=1), tmp_path).add(3, ['x', 1])
    with open(tmp_path / 'a.jsonl', 'a') as file:
        file.write('{"settings": {"seed": 1}, "number": 4, "res')
    pieces = Pieces('a', dict(seed=1), tmp_path)
    assert pieces.get(3) == ['x', 1] and pieces.get(4) is None
    pieces.add(4, ['y', 2])
    assert Pieces('a', dict(seed=1), tmp_path).found == {3: ['x', 1], 4: ['y', 2]}
    assert not Pieces('a', dict(seed=2), tmp_path).found
