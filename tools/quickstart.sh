#!/usr/bin/env bash
# From nothing but Python 3.10-3.12 to a measured backbone:
#   bash tools/quickstart.sh [arguments of python -m mssl_plugins quickstart]
# Environment: MSSL_VENV, PYTHON (see tools/_env.sh).
set -uo pipefail
# shellcheck source=tools/_env.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_env.sh"
MSSL_STARTED=$(date +%s)
export MSSL_STARTED

make_venv
if ! installed quickstart && ! installed test; then
    say "installing torch, mmpretrain and this package (a few minutes)"
    # One torch wheel of a few GB and nothing to compile.
    unset MMCV_WITH_OPS
    pip_install -e "$ROOT[onedl]"
    check_opencv
    done_installing quickstart
fi
cd -- "$ROOT" || exit 1
# One core trains the small network, the other makes the images: two threads
# wait for each other where the machine is busy.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$VENV/bin/python" -m mssl_plugins quickstart "$@"
