#!/usr/bin/env bash
# Evaluate on a Slurm cluster; slurm_run.sh lists the environment variables.
set -euo pipefail

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB CONFIG CHECKPOINT [args of test.py]" >&2
    exit 2
fi
exec "$(dirname -- "${BASH_SOURCE[0]}")/slurm_run.sh" "$1" "$2" test.py "$3" "$4" "${@:5}"
