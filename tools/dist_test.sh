#!/usr/bin/env bash
# Evaluate on several GPUs or CPU processes; dist_run.sh lists the environment variables.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [args of test.py]" >&2
    exit 2
fi
# The checkpoint comes after --launcher pytorch, which test.py does not mind.
exec "$(dirname -- "${BASH_SOURCE[0]}")/dist_run.sh" test.py "$3" "$1" "$2" "${@:4}"
