#!/usr/bin/env bash
# Trains with several processes on this machine, on GPUs or on the CPU:
#   bash tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]" >&2
    exit 2
fi
config=$1 processes=$2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname -- "${BASH_SOURCE[0]}")/train.py" "$config" \
    --launcher pytorch "${@:3}"
