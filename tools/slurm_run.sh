#!/usr/bin/env bash
# Start a command of this folder on a Slurm cluster; slurm_train.sh and slurm_test.sh are its faces.
#
#   slurm_run.sh PARTITION JOB SCRIPT CONFIG [args of the script]
#
# srun starts one process for each GPU, in an allocation that is there or in one of its own.
# slurm_train.sbatch is an example of the first. Environment:
#   GPUS           processes in all (default 8)
#   GPUS_PER_NODE  those of a node (default 8, or GPUS if fewer)
#   CPUS_PER_TASK  cores of a process (default 5)
#   MASTER_ADDR, PORT  where the processes meet (default: the first node, and a port of the job)
#   SRUN_ARGS      more options of srun, separated by spaces
# Containers (pyxis and enroot); the Python is then that of the image:
#   CONTAINER_IMAGE    an image, e.g. /images/normlib.sqsh or docker://REGISTRY#IMAGE:TAG
#   CONTAINER_MOUNTS   FROM:TO[:ro],... besides this checkout and the working directory, which are
#                      mounted at their own paths
#   CONTAINER_WORKDIR  where the processes start there (default: the working directory)
# Ends before the work is done: the processes write a checkpoint and end with exit code 75
#   SIGNAL_BEFORE  seconds before the time limit at which srun's own allocation says so (default:
#                  not); of an allocation that is there, --signal=USR1@SECONDS of sbatch does that
#   MAX_REQUEUES   how often the training goes on after that, from what it has saved itself (default:
#                  10 with SIGNAL_BEFORE, else 0): a batch job is requeued, else srun is started
#                  again. In an allocation of salloc neither can be: it ends with the time limit.
#                  --resume PATH is where the first start begins.
#
# The exit code is srun's, the largest of the processes'. Signals to this script go to srun, which
# passes them on; after SIGTERM or SIGHUP nothing is requeued.
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 2
}

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB SCRIPT CONFIG [args of the script]" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
partition=$1
job=$2
script=$here/$3
config=$4
shift 4
args=("$@")

gpus=${GPUS:-8}
cpus=${CPUS_PER_TASK:-5}
before=${SIGNAL_BEFORE:-}
requeues=${MAX_REQUEUES:-$([[ -n $before ]] && echo 10 || echo 0)}
image=${CONTAINER_IMAGE:-}

# --- Check ----------------------------------------------------------------------------------------

positive='^[1-9][0-9]{0,4}$'
[[ -f $config ]] || die "config $config does not exist"
[[ $gpus =~ $positive ]] || die "GPUS is '$gpus': give the number of processes"
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
[[ $per_node =~ $positive ]] || die "GPUS_PER_NODE is '$per_node': give a number, 1 or more"
[[ $cpus =~ $positive ]] || die "CPUS_PER_TASK is '$cpus': give a number, 1 or more"
[[ -z $before || $before =~ $positive ]] ||
    die "SIGNAL_BEFORE is '$before': give a number of seconds, e.g. 300"
[[ $requeues =~ ^(0|[1-9][0-9]{0,4})$ ]] || die "MAX_REQUEUES is '$requeues': give a number, 0 or more"
[[ -n $image || -z ${CONTAINER_MOUNTS:-}${CONTAINER_WORKDIR:-} ]] ||
    die "CONTAINER_MOUNTS and CONTAINER_WORKDIR need CONTAINER_IMAGE"

batch_job=
if [[ -n ${SLURM_JOB_ID:-} && ${ENVIRONMENT:-} == BATCH ]]; then
    batch_job=$SLURM_JOB_ID
fi
done_before=${SLURM_RESTART_COUNT:-0} # how often Slurm has requeued this batch job
if [[ -n ${SLURM_JOB_ID:-} && -z $batch_job ]]; then
    requeues=0
fi
if [[ ${script##*/} != train.py ]]; then
    requeues=0
elif [[ -n $batch_job && $requeues != 0 ]] && ! command -v scontrol >/dev/null; then
    die "MAX_REQUEUES is $requeues, and there is no scontrol here to requeue job $batch_job"
fi

# --- Start ----------------------------------------------------------------------------------------

# Containers have no scontrol, so the first node is looked up here where there is an allocation.
# Where srun makes one, each process reads it from SLURM_STEP_NODELIST.
if [[ -z ${MASTER_ADDR:-} && -n ${SLURM_JOB_NODELIST:-} ]]; then
    nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST") ||
        die "scontrol cannot say which nodes '$SLURM_JOB_NODELIST' are; set MASTER_ADDR to the first"
    export MASTER_ADDR=${nodes%%$'\n'*}
fi
if [[ -n ${PORT:-} ]]; then
    export MASTER_PORT=$PORT
fi

options=(
    --partition="$partition"
    --job-name="$job"
    --gres=gpu:"$per_node"
    --ntasks="$gpus"
    --ntasks-per-node="$per_node"
    --cpus-per-task="$cpus"
    # Once one process has ended the others do so by themselves, or hang: they get a minute. Killed at
    # once, the one that still writes a checkpoint would lose it.
    --kill-on-bad-exit=0
    --wait=60
)
if [[ -n $before ]]; then
    options+=(--signal="USR1@$before")
fi
read -ra more <<<"${SRUN_ARGS:-}"
options+=("${more[@]}")

python=$here/../.venv/bin/python
if [[ -n $image ]]; then
    root=$(cd -- "$here/.." && pwd -P)
    mounts=$root:$root
    [[ $PWD/ == "$root"/* ]] || mounts+=,$PWD:$PWD
    options+=(
        --container-image="$image"
        --container-mounts="$mounts${CONTAINER_MOUNTS:+,$CONTAINER_MOUNTS}"
        --container-workdir="${CONTAINER_WORKDIR:-$PWD}"
    )
    script=$root/tools/${script##*/}
    # The checkout goes before what the image may have installed of it.
    command=(env "PYTHONPATH=$root" python)
elif [[ ! -x $python || ${SRUN_ARGS:-} == *--container-image* ]]; then
    command=(python)
else
    command=("$python")
fi

ended='' # by a signal after which nothing is to go on
interrupted=''
pass_on() { # SIGNAL
    interrupted=1
    if [[ $1 == TERM || $1 == HUP ]]; then ended=1; fi
    if [[ -n ${!:-} ]]; then kill -s "$1" "$!" 2>/dev/null || true; fi
}
for name in INT TERM HUP USR1 USR2; do
    # shellcheck disable=SC2064 # the name of now
    trap "pass_on $name" "$name"
done

start() { # runs srun; sets status
    # Its own process group: a Ctrl-C comes once, through this script.
    set -m
    srun "${options[@]}" "${command[@]}" -u "$script" "$config" --launcher slurm "${args[@]}" \
        </dev/null &
    set +m
    while :; do # until `wait` ends for another reason than a signal
        interrupted=''
        status=0
        wait "$!" || status=$?
        if [[ -z $interrupted ]]; then break; fi
    done
}

# A training that is started again goes on from what its run has saved, whatever its arguments say. A
# batch job keeps its number for that; of those that srun makes each has another one.
run=$(date +%Y%m%d-%H%M%S)-$$-$RANDOM
while :; do
    if [[ -z $batch_job ]]; then export NORMLIB_RUN_ID=$run NORMLIB_RESTARTS=$done_before; fi
    start
    if ((status != 75 || requeues == 0)) || [[ -n $ended ]]; then exit "$status"; fi
    if ((done_before >= requeues)); then
        echo "stopped: not done after $requeues requeues; go on with --resume" >&2
        exit "$status"
    fi
    done_before=$((done_before + 1))
    if [[ -n $batch_job ]]; then
        scontrol requeue "$batch_job" ||
            echo "error: job $batch_job cannot be requeued: submit it again, with --resume" >&2
        exit "$status"
    fi
    echo "slurm_run: going on ($done_before of at most $requeues times)" >&2
done
