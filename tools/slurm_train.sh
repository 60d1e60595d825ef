#!/usr/bin/env bash
# Trains on a Slurm cluster:
#   GPUS=8 bash tools/slurm_train.sh PARTITION JOB CONFIG [arguments of train.py]
# GPUS (8), GPUS_PER_NODE (8; 0 for CPU nodes), CPUS_PER_TASK (5), SRUN_ARGS.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: bash tools/slurm_train.sh PARTITION JOB CONFIG [arguments of train.py]" >&2
    exit 2
fi
if ! command -v srun >/dev/null; then
    echo "error: srun not found: this script needs a Slurm cluster" >&2
    exit 1
fi
partition=$1 job=$2 config=$3
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
resources=(--ntasks="$gpus" --cpus-per-task="${CPUS_PER_TASK:-5}")
if [ "$per_node" -gt 0 ]; then
    resources+=(--gres="gpu:$per_node" --ntasks-per-node="$per_node")
fi
# shellcheck disable=SC2086  # SRUN_ARGS holds several arguments
exec srun -p "$partition" --job-name="$job" "${resources[@]}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname -- "${BASH_SOURCE[0]}")/train.py" \
    "$config" --launcher slurm "${@:4}"
