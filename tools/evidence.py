"""Does a method do what its paper says? Runs the studies and writes the page.

    python tools/evidence.py run mixmask --minutes 80     # goes on where it was stopped
    python tools/evidence.py run mixmask --workers 2      # two runs side by side, a thread each
    python tools/evidence.py run mixmask --size gpu          # pieces of 10 minutes on a GPU
    python tools/evidence.py status                       # what is there, what is queued
    python tools/evidence.py --report                     # only write the page

A study (``tools/studies/<name>.py``) names variants, each a shipped config and
its one difference, and the papers' claims.  Learning rates are tried on a
spare seed, as many for every variant; then fresh seeds are run.  A study ranks
its variants only where its baseline stands 5 points above raw pixels and
random weights; the rules of the intervals stand in
``evidence_tool/statistics.py``.  A run is trained in pieces and goes on from
its last checkpoint; its result, what every test image contributed, is kept in
``docs/evidence/runs/`` when it ends.  ``docs/evidence.md``,
``docs/evidence/claims.json`` and the parts of ``README.md`` and of the
methods' pages between ``<!-- evidence -->`` and ``<!-- /evidence -->`` are
written from these files.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]

from evidence_tool.command import main
from evidence_tool.pieces import end_on_sigterm
from mssl_plugins.errors import run_cli

if __name__ == '__main__':
    end_on_sigterm()
    sys.exit(run_cli(main))
