# Shared by quickstart.sh and test.sh (sourced): makes an environment from the
# tested versions, once.  A failure is one line that says what is missing.
#   MSSL_VENV   where the environment lies (default: .venv in the checkout)
#   PYTHON      which Python makes it (default: the first of 3.10-3.12 found)

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=${MSSL_VENV:-$ROOT/.venv}
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac # the scripts change the folder
CONSTRAINTS=$ROOT/constraints/onedl.txt
WHEELS=${XDG_CACHE_HOME:-$HOME/.cache}/mssl_plugins/wheels

fail() {
    echo "error: $*" >&2
    exit 1
}

say() {
    echo "[$(printf '%3d' $SECONDS) s] $*"
}

# The version a constraint pins: pinned torch -> 2.11.0
pinned() {
    sed -n "s/^$1==\([^; ]*\).*/\1/p" "$CONSTRAINTS" | head -n 1
}

# Prints a Python 3.10-3.12.  It is run, not looked up: a version manager's
# stand-in may exist for a version that does not.
find_python() {
    local candidate check='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$check" 2>/dev/null ||
            fail "PYTHON=$PYTHON is not a working Python 3.10, 3.11 or 3.12"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.10 python; do
        if "$candidate" -c "$check" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.10, 3.11 or 3.12 found: install one, or name it with PYTHON=/path/to/python"
}

# need_disk GIB DIRECTORY
need_disk() {
    local place=$2 free
    while [ ! -d "$place" ]; do place=$(dirname -- "$place"); done
    free=$(df -Pk -- "$place" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$1" ] ||
        fail "$1 GiB of free disk needed in $place, $free GiB there (MSSL_VENV=DIR puts the environment elsewhere)"
}

need_compiler() {
    command -v "${CXX:-c++}" >/dev/null ||
        fail "no C++ compiler (${CXX:-c++}): install one (Debian: apt-get install g++)"
    "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
        fail "Python.h is missing: install the headers of $("$1" -V) (Debian: apt-get install python3-dev)"
}

make_venv() {
    if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local python
    python=$(find_python) || exit 1
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$("$python" -V) lacks its venv module (Debian: apt-get install python3-venv)"
    need_disk 9 "$VENV"
    say "making the environment $VENV with $("$python" -V)"
    "$python" -m venv "$VENV" || fail "could not make $VENV"
}

# pip_install ARGUMENTS...: quiet; keeps the log, shows its last error.
pip_install() {
    local log=$VENV/install.log
    if ! PIP_DISABLE_PIP_VERSION_CHECK=1 "$VENV/bin/python" -m pip install \
        -c "$CONSTRAINTS" "$@" >"$log" 2>&1; then
        if grep -q 'No space left' "$log"; then
            fail "the disk is full while installing into $VENV"
        elif grep -qiE 'connection|resolve host|name resolution|timed out|Network is unreachable' "$log"; then
            fail "pip cannot reach the package index: is there a network? (see $log)"
        fi
        fail "pip: $(grep -E '^ *ERROR' "$log" | tail -n 1 | sed 's/^ *ERROR: *//') (see $log)"
    fi
}

# What an installation depends on; another one makes the next run install.
fingerprint() {
    { cat -- "$CONSTRAINTS" "$ROOT/pyproject.toml" "$ROOT/setup.py"
      echo "$ROOT"
      "$VENV/bin/python" -V; } | sha256sum | cut -c 1-16
}

# installed NAME, done_installing NAME: is the stamp of this state there?
installed() {
    [ "$(cat -- "$VENV/.mssl_$1" 2>/dev/null)" = "$(fingerprint)" ]
}
done_installing() {
    fingerprint >"$VENV/.mssl_$1"
}

# OpenCV's full build needs libGL; a machine without a display may lack it.
check_opencv() {
    "$VENV/bin/python" -c 'import cv2' 2>/dev/null && return
    pip_install --force-reinstall --no-deps "opencv-python-headless==$(pinned opencv-python-headless)"
    "$VENV/bin/python" -c 'import cv2' 2>/dev/null ||
        fail "OpenCV does not load: $("$VENV/bin/python" -c 'import cv2' 2>&1 | tail -n 1)"
}

# transformers in $VENV/hf, an environment that sees this one's packages:
# beside pycocotools, transformers 5 makes `import mmpretrain` fail.
install_transformers() {
    local hf=$VENV/hf site='import sysconfig; print(sysconfig.get_paths()["purelib"])'
    "$VENV/bin/python" -m venv --clear --without-pip "$hf" &&
        "$VENV/bin/python" -c "$site" >"$("$hf/bin/python" -c "$site")/below.pth" ||
        fail "could not make $hf"
    VENV=$hf pip_install transformers
}

# mmcv with compiled ops.  pip's own cache does not tell a wheel with ops from
# one without, so ours is kept apart, by Python and torch.
install_ops() {
    "$VENV/bin/python" -c 'import mmcv._ext' 2>/dev/null && return
    local tag wheel folder
    tag=$("$VENV/bin/python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    folder=$WHEELS/$tag-torch$(pinned torch)
    wheel=$(ls -- "$folder"/onedl_mmcv-"$(pinned onedl-mmcv)"-*.whl 2>/dev/null | head -n 1)
    if [ -z "$wheel" ]; then
        need_compiler "$VENV/bin/python"
        say "compiling mmcv's ops, once (about 10 minutes on 2 cores)"
        pip_install ninja 'setuptools>=80,<82' wheel packaging
        mkdir -p -- "$folder" && rm -rf -- "$folder/.building"
        if ! MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} PATH="$VENV/bin:$PATH" \
            "$VENV/bin/python" -m pip wheel --no-cache-dir --no-build-isolation \
            --no-deps -w "$folder/.building" "onedl-mmcv==$(pinned onedl-mmcv)" \
            >"$VENV/mmcv.log" 2>&1; then
            fail "mmcv's ops do not compile (see $VENV/mmcv.log)"
        fi
        mv -- "$folder"/.building/*.whl "$folder"/ && rmdir -- "$folder/.building"
        wheel=$(ls -- "$folder"/onedl_mmcv-*.whl | head -n 1)
    fi
    pip_install "$wheel" # with what it needs
    pip_install --force-reinstall --no-deps "$wheel" # should mmcv without ops have been there
    check_opencv
    "$VENV/bin/python" -c 'import torch, mmcv._ext' 2>/dev/null ||
        fail "the compiled mmcv does not load: delete $folder and run this again"
}
