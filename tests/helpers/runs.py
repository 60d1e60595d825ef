"""What a training run leaves."""

import json
from pathlib import Path


def losses(work_dir: Path) -> dict:
    """Every loss logged at an iteration, over all starts of a run."""
    found = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the line that SIGKILL cut
                continue
            if 'loss' in entry:
                found.setdefault(entry['step'], set()).add(entry['loss'])
    return found
