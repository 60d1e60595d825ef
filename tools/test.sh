#!/usr/bin/env bash
# Lints, then runs every test in the full environment (mmcv with compiled ops, mmdet,
# mmseg), which the first run makes:
#   bash tools/test.sh [arguments of pytest]
# Environment: MSSL_VENV, PYTHON (see tools/_env.sh); MSSL_DATA names the
# folder of the real images, without which a few tests are skipped.
set -uo pipefail
# shellcheck source=tools/_env.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/_env.sh"

make_venv
if ! installed test; then
    say "installing torch, mmpretrain, mmdet, mmseg and this package"
    pip_install torch torchvision
    install_ops
    pip_install -e "$ROOT[onedl,dense,docs,test]"
    check_opencv
    install_ops # again, should the step above have replaced it
    done_installing test
fi
if ! installed transformers; then
    say "installing transformers, apart"
    install_transformers
    done_installing transformers
fi
cd -- "$ROOT" || exit 1
# The rules of pyproject.toml first: it takes a second.
"$VENV/bin/ruff" check --quiet . || exit 1
"$VENV/bin/ruff" format --quiet --check . || exit 1
# What a process has compiled, the next one need not: the tests start hundreds.
unset PYTHONDONTWRITEBYTECODE
# A test file a process, one thread each.
CORES="$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)"
WORKERS=$((CORES < 8 ? CORES : 8))
exec "$VENV/bin/python" -m pytest -n "$WORKERS" --dist loadfile "$@"
