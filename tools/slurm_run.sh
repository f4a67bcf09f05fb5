#!/usr/bin/env bash
# Start a command of this folder on a Slurm cluster; slurm_train.sh and slurm_test.sh are its faces.
#
#   slurm_run.sh PARTITION JOB SCRIPT CONFIG [args of the script]
#
# Environment: GPUS (8), GPUS_PER_NODE (8, or GPUS if fewer), CPUS_PER_TASK (5), SRUN_ARGS (more
# options of srun, e.g. --container-image=IMAGE), MASTER_ADDR, PORT.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
partition=$1
job=$2
script=$here/$3
config=$4
shift 4

if [[ ! -f $config ]]; then
    echo "error: config $config does not exist" >&2
    exit 2
fi

gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
read -ra srun_args <<<"${SRUN_ARGS:-}"

python=$here/../.venv/bin/python
# A container brings its own Python.
if [[ ! -x $python || ${SRUN_ARGS:-} == *--container-image* ]]; then
    python=python
fi

# Containers have no scontrol, so the first node is looked up here where there is an allocation.
# Where srun makes one, each process reads it from SLURM_STEP_NODELIST.
if [[ -z ${MASTER_ADDR:-} && -n ${SLURM_JOB_NODELIST:-} ]]; then
    nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    export MASTER_ADDR=${nodes%%$'\n'*}
fi
if [[ -n ${PORT:-} ]]; then
    export MASTER_PORT=$PORT
fi

exec srun \
    --partition="$partition" \
    --job-name="$job" \
    --gres=gpu:"$per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    "${srun_args[@]}" \
    "$python" -u "$script" "$config" --launcher slurm "$@"
