"""Do pre-trained weights, and the methods' beside their bases', help detection and segmentation?

    python tools/dense_evidence.py --minutes 60           # goes on where it was stopped
    python tools/dense_evidence.py --transfers c4-scenes
    python tools/dense_evidence.py --report               # only write the page

Transfers, weights and claims stand in ``evidence_tool/dense_study.py``.  Each seed
has its own pre-training; each start tries as many learning rates on a spare
seed.  Every run is one of ``tools/train.py`` with a shipped config; results are
kept in ``docs/evidence/runs/dense-cpu/`` and judged by the statistics of
``tools/evidence.py``, whose page shows them.
"""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]

from evidence_tool.command import RUNS
from evidence_tool.dense_study import TRANSFERS
from evidence_tool.kept import Kept
from evidence_tool.pieces import end_on_sigterm
from mssl_plugins.commands.options import positive
from mssl_plugins.errors import run_cli, unknown


def main(argv: Optional[List[str]] = None) -> None:
    """``tools/dense_evidence.py ARGUMENTS``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--transfers', nargs='+', default=list(TRANSFERS), help=f'of {", ".join(TRANSFERS)}'
    )
    parser.add_argument('--minutes', type=positive, help='stop after so many, to go on later')
    parser.add_argument(
        '--data',
        help='folder of bccd_voc.tar.gz and camvid_*.npz; default: $MSSL_DATA, then ../shared/data',
    )
    parser.add_argument('--work-dir', default=str(ROOT / 'work_dirs/evidence/dense-cpu'))
    parser.add_argument('--report', action='store_true', help='only write docs/evidence.md')
    args = parser.parse_args(argv)
    for transfer in args.transfers:
        if transfer not in TRANSFERS:
            raise unknown(transfer, TRANSFERS, 'transfer')
    if not args.report:
        from evidence_tool.dense_runner import run

        run(args, Kept(RUNS / 'dense-cpu'))
    from evidence_tool.report import report

    report()


if __name__ == '__main__':
    end_on_sigterm()
    sys.exit(run_cli(main))
