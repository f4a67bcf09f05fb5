#!/usr/bin/env bash
# Start a command of this folder in several processes with torchrun; dist_train.sh and dist_test.sh
# are its faces. One process for each GPU; on a machine without GPUs, as many as asked for.
#
#   dist_run.sh SCRIPT GPUS CONFIG [args of the script]
#
# Environment: NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (a free one; 29500 if
# NNODES > 1), OMP_NUM_THREADS (1 with GPUs, else the cores shared out).
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 2
}

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
script=$here/$1
gpus=$2
config=$3
shift 3

[[ $gpus =~ ^[1-9][0-9]*$ ]] || die "GPUS is '$gpus': give the number of processes on this machine"
[[ -f $config ]] || die "config $config does not exist"

python=$here/../.venv/bin/python
[[ -x $python ]] || python=python

nodes=${NNODES:-1}
if [[ $nodes != 1 && -z ${MASTER_ADDR:-} ]]; then
    die "NNODES=$nodes needs MASTER_ADDR, the address of the node with NODE_RANK=0"
fi
port=${PORT:-29500}
if [[ $nodes == 1 && -z ${PORT:-} ]]; then
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
fi

if [[ -z ${OMP_NUM_THREADS:-} ]]; then
    if nvidia-smi -L >/dev/null 2>&1; then
        threads=1
    else
        threads=$(($(nproc) / gpus))
    fi
    export OMP_NUM_THREADS=$((threads > 0 ? threads : 1))
fi

exec "$python" -m torch.distributed.run \
    --nnodes="$nodes" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="$port" \
    --nproc-per-node="$gpus" \
    "$script" "$config" --launcher pytorch "$@"
