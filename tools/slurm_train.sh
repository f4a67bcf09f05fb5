#!/usr/bin/env bash
# Train on a Slurm cluster; slurm_run.sh lists the environment variables, slurm_train.sbatch is an
# example of a batch job.
set -euo pipefail

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB CONFIG WORK_DIR [args of train.py]" >&2
    exit 2
fi
exec "$(dirname -- "${BASH_SOURCE[0]}")/slurm_run.sh" "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
