#!/usr/bin/env bash
# Start a command of this folder in several processes with torchrun; dist_train.sh and dist_test.sh
# are its faces. One process for each GPU; on a machine without GPUs, as many as asked for.
#
#   dist_run.sh SCRIPT GPUS CONFIG [args of the script]
#
# GPUS is the number of processes on this machine. Environment:
#   NNODES         machines: a number (default 1), or MIN:MAX of a run that goes on while machines
#                  come and leave (needs RDZV=c10d and --resume without a path)
#   NODE_RANK      which machine this is, from 0 (default 0); RDZV=c10d finds it out
#   MASTER_ADDR    address of machine 0 (default 127.0.0.1; needed for several machines)
#   PORT           port there (default: a free one; 29500 for several machines)
#   MAX_RESTARTS   how often torchrun starts the processes again when one has failed (default 0);
#                  they go on from the newest checkpoint of the run
#   RDZV           how the machines find each other: static (default) or c10d (with MAX_RESTARTS)
#   RDZV_ENDPOINT  HOST:PORT of the machine that hosts c10d (default MASTER_ADDR:PORT)
#   RDZV_ID        name of the run, the same on all its machines, another for every run (default: a
#                  new one; needed for several machines with RDZV=c10d or MAX_RESTARTS)
#   STOP_SECONDS   how long the processes get to write a checkpoint after a SIGTERM or SIGUSR1 to
#                  this script (default 300)
#   OMP_NUM_THREADS  threads of a process (default: 1 with GPUs, else the cores shared out)
# Where one is not set, torchrun's own variable goes before the default: PET_NNODES, PET_NODE_RANK,
# PET_MASTER_ADDR, PET_MASTER_PORT, PET_MAX_RESTARTS, PET_RDZV_BACKEND, PET_RDZV_ENDPOINT,
# PET_RDZV_ID. Its other options are set by such variables too, e.g.
# PET_RDZV_CONF=join_timeout=1800 or PET_LOCAL_ADDR=10.0.0.7.
#
# The exit code is that of the first process that failed, see elastic_run.py.
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 2
}

if (($# < 3)); then
    echo "usage: $0 SCRIPT GPUS CONFIG [args of the script]" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
script=$here/$1
gpus=$2
config=$3
shift 3

nodes=${NNODES:-${PET_NNODES:-1}}
rank=${NODE_RANK:-${PET_NODE_RANK:-0}}
addr=${MASTER_ADDR:-${PET_MASTER_ADDR:-}}
port=${PORT:-${PET_MASTER_PORT:-}}
restarts=${MAX_RESTARTS:-${PET_MAX_RESTARTS:-0}}
rdzv=${RDZV:-${PET_RDZV_BACKEND:-$([[ $restarts == 0 ]] && echo static || echo c10d)}}
endpoint=${RDZV_ENDPOINT:-${PET_RDZV_ENDPOINT:-}}
id=${RDZV_ID:-${PET_RDZV_ID:-}}
export STOP_SECONDS=${STOP_SECONDS:-300}

# --- Check ----------------------------------------------------------------------------------------

number='(0|[1-9][0-9]{0,5})'
[[ -f $config ]] || die "config $config does not exist"
[[ $gpus =~ ^[1-9][0-9]{0,3}$ ]] ||
    die "GPUS is '$gpus': give the number of processes on this machine"
[[ $nodes =~ ^([1-9][0-9]{0,4})(:([1-9][0-9]{0,4}))?$ ]] ||
    die "NNODES is '$nodes': give the number of machines, e.g. 2, or the fewest and most, e.g. 2:4"
fewest=${BASH_REMATCH[1]}
most=${BASH_REMATCH[3]:-$fewest}
((fewest <= most)) || die "NNODES is '$nodes': the first number is the smaller one, $most:$fewest"
[[ $rank =~ ^$number$ ]] || die "NODE_RANK is '$rank': give a number from 0 to $((most - 1))"
((rank < most)) || die "NODE_RANK is $rank of $most machines: give a number from 0 to $((most - 1))"
[[ -z $port || ($port =~ ^$number$ && $port -ge 1 && $port -le 65535) ]] ||
    die "PORT is '$port': give a number from 1 to 65535"
[[ $restarts =~ ^$number$ ]] || die "MAX_RESTARTS is '$restarts': give a number, 0 or more"
[[ $STOP_SECONDS =~ ^$number$ ]] || die "STOP_SECONDS is '$STOP_SECONDS': give a whole number"
[[ $rdzv == static || $rdzv == c10d ]] || die "RDZV is '$rdzv': give static or c10d"
[[ $rdzv == c10d || $restarts == 0 ]] ||
    die "MAX_RESTARTS needs RDZV=c10d: processes that start again would find those that have ended"
[[ -z $endpoint || $endpoint =~ ^.+:[0-9]{1,5}$ ]] ||
    die "RDZV_ENDPOINT is '$endpoint': give HOST:PORT, e.g. node1:29500"
[[ -z $endpoint || $rdzv == c10d ]] ||
    die "RDZV_ENDPOINT is for RDZV=c10d; with RDZV=static give MASTER_ADDR and PORT"
[[ $id =~ ^[A-Za-z0-9._-]*$ ]] ||
    die "RDZV_ID is '$id': use letters, digits, dots, dashes and underscores"

resumes_newest() { # [args of the script]
    while (($#)); do
        if [[ $1 == --resume=* ]]; then
            [[ $1 == --resume=auto ]]
            return
        elif [[ $1 == --resume ]]; then
            [[ ${2:-auto} == auto || $2 == -* ]]
            return
        fi
        shift
    done
    return 1
}

if ((fewest != most)); then
    [[ $rdzv == c10d ]] || die "NNODES=$nodes needs RDZV=c10d: static machines cannot come or leave"
    # Where a machine joins, the processes start again, which torchrun does not count as a restart.
    [[ ${script##*/} != train.py ]] || resumes_newest "$@" ||
        die "NNODES=$nodes needs --resume without a path: with every machine that joins, training" \
            "starts again from the newest checkpoint of the work directory"
fi
if ((most > 1)); then
    [[ -n $addr || -n $endpoint ]] ||
        die "NNODES=$nodes needs MASTER_ADDR, the address of the machine with NODE_RANK=0" \
            "(or RDZV=c10d RDZV_ENDPOINT=HOST:PORT)"
    [[ -n $id || ($rdzv == static && $restarts == 0) ]] ||
        die "NNODES=$nodes with RDZV=c10d or MAX_RESTARTS needs RDZV_ID, a name for this run that" \
            "is the same on all machines, e.g. RDZV_ID=\$SLURM_JOB_ID"
fi

# --- Start ----------------------------------------------------------------------------------------

python=$here/../.venv/bin/python
[[ -x $python ]] || python=python

addr=${addr:-127.0.0.1}
if [[ -z $port && $most == 1 ]]; then
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
fi
port=${port:-29500}
if [[ -z $id ]]; then
    # One that several machines agree on without asking; alone, one that is new.
    id=$addr-$port
    ((most > 1)) || id=$(date +%Y%m%d-%H%M%S)-$$-$RANDOM
    id=${id//[^A-Za-z0-9._-]/-}
fi
where=(--master-addr="$addr" --master-port="$port" --node-rank="$rank")
if [[ $rdzv == c10d ]]; then
    where=(--rdzv-endpoint="${endpoint:-$addr:$port}")
    # Otherwise torch keeps one store for all starts, with the addresses of processes that have ended.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
fi

if [[ -z ${OMP_NUM_THREADS:-} ]]; then
    if nvidia-smi -L >/dev/null 2>&1; then
        threads=1
    else
        threads=$(($(nproc) / gpus))
    fi
    export OMP_NUM_THREADS=$((threads > 0 ? threads : 1))
fi

exec "$python" "$here/elastic_run.py" \
    --nnodes="$nodes" \
    --nproc-per-node="$gpus" \
    --rdzv-backend="$rdzv" \
    "${where[@]}" \
    --rdzv-id="$id" \
    --max-restarts="$restarts" \
    --monitor-interval=0.1 \
    "$script" "$config" --launcher pytorch "$@"
