#!/usr/bin/env bash
# Train on several GPUs or CPU processes; dist_run.sh lists the environment variables.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG GPUS [args of train.py]" >&2
    exit 2
fi
exec "$(dirname -- "${BASH_SOURCE[0]}")/dist_run.sh" train.py "$2" "$1" "${@:3}"
