"""torchrun for our own commands: only the process that failed reports the error."""

import logging
import sys
from typing import List

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main(argv: List[str]) -> int:
    """Runs ``torchrun ARGV`` without its report of failed processes.

    Returns:
        int: The exit status, that of the process which failed first.
    """
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    try:
        run.run(run.parse_args(argv))
    except ChildFailedError as error:
        return max(error.get_first_failure()[1].exitcode, 1)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
