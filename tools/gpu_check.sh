#!/usr/bin/env bash
# Builds the CUDA kernels on a machine with a GPU, tests them and measures them; at most 8 minutes.
# A step that fails or takes too long does not stop the others; the exit status is then 1.
#
# Usage: tools/gpu_check.sh [FOLDER]
#
# FOLDER (default: normlib/csrc/results) gets, for a device NAME:
#   NAME.txt                           device, driver, versions, and how each step ended
#   NAME.log                           what the steps printed
#   NAME.json, NAME.md, NAME.png       layers: everything, tables, roofline
#   NAME-resnet50.json, .md            training steps of a ResNet-50
#
# Environment:
#   PYTHON   interpreter with torch (default: that of .venv, else python3)
set -euo pipefail
trap 'exit 130' INT
trap 'exit 143' TERM

if (($# > 1)) || [[ ${1:-} == -* ]]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  [[ $1 == -h || $1 == --help ]] && exit 0
  exit 2
fi

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
results=$(realpath -m "${1:-$repo/normlib/csrc/results}")
cd "$repo"

readonly TOTAL=460 TRAINING=45 # seconds; the layers get what the other steps leave
readonly -a SHAPES=(
  '32,64,112,112' '32,256,56,56' '32,512,28,28' '32,2048,7,7' # ResNet-50
  '8,192,16,28,28'                                            # I3D
)
# Odd sizes, for the ends of rows, of vectors and of blocks.
readonly -a SMALL_SHAPES=('2,33,5,7' '3,64,1,1' '1,40,3,9,11')
readonly -a NATIVE=('SN native' 'SN native + ReLU' 'SN native + add + ReLU')

say() {
  printf 'gpu_check: %s\n' "$*"
}

no_gpu() { # WHY
  printf 'gpu_check: error: no GPU to check: %s\n' "$*" >&2
  exit 2
}

# --- The machine ----------------------------------------------------------------------------------

if [[ -z ${PYTHON:-} ]]; then
  PYTHON=$repo/.venv/bin/python
  [[ -x $PYTHON ]] || PYTHON=python3
fi
export PYTHONPATH=$repo${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

driver=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null) ||
  no_gpu 'nvidia-smi does not run'
device=$("$PYTHON" -c 'import torch; print(torch.cuda.get_device_name())' 2>/dev/null) ||
  no_gpu "torch of $PYTHON finds none (torch.cuda.is_available() is False)"

name=$(tr '[:upper:]' '[:lower:]' <<<"$device" | tr -cs '[:alnum:]\n' -)
facts=$results/$name.txt
log=$results/$name.log
mkdir -p "$results"
rm -f "$results/$name"{,-resnet50}.{json,md,png}
: >"$log"
{
  printf 'device, driver, memory: %s\n' "$driver"
  "$PYTHON" -c '
import platform, torch
print("torch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())
print("Python", platform.python_version())'
} | tee "$facts"

# --- The steps ------------------------------------------------------------------------------------

failures=()

step() { # NAME SECONDS COMMAND ...
  local what=$1 limit=$2 began=$SECONDS status=0 end='ok'
  shift 2
  if ((limit > TOTAL - SECONDS)); then limit=$((TOTAL - SECONDS)); fi
  if ((limit < 1)); then limit=1; fi
  say "$what (at most $limit s)"
  printf '\n== %s: %s\n' "$what" "$*" >>"$log"
  timeout --kill-after=10 "$limit" "$@" </dev/null 2>&1 | tee -a "$log" || status=$?
  case $status in
    0) ;;
    124 | 137) end="not done in $limit s" ;;
    *) end="failed (exit status $status)" ;;
  esac
  if ((status)); then failures+=("$what"); fi
  printf '%s: %s, %s s\n' "$what" "$end" "$((SECONDS - began))" | tee -a "$facts"
}

skip() { # NAME WHY
  printf '%s: left out, %s\n' "$1" "$2" | tee -a "$facts"
}

step build 150 "$PYTHON" normlib/csrc/build.py --require cpu cuda
step kernels 30 "$PYTHON" -c '
import sys
from normlib.ops import native
ready, reason = native.availability("cuda")
sys.exit(None if ready else f"no CUDA kernels: {reason}")'
step tests 90 "$PYTHON" -m pytest -m cuda tests/normlib

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
if [[ -n $sanitizer ]]; then
  # Without torch's cache of allocations, so that the sanitizer knows where each of them ends.
  step memcheck 60 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
    "$sanitizer" --tool memcheck --error-exitcode 1 "$PYTHON" tools/bench_norm.py --device cuda \
    --shapes "${SMALL_SHAPES[@]}" --dtypes float32 bfloat16 --rounds 1 --no-overhead \
    --layers "${NATIVE[@]}"
else
  skip memcheck 'compute-sanitizer is not installed'
fi

step training "$TRAINING" "$PYTHON" tools/bench_norm.py --device cuda --resnet50 --batch 64 \
  --size 224 --dtypes bfloat16 --layouts NHWC --rounds 10 \
  --json "$results/$name-resnet50.json" --markdown "$results/$name-resnet50.md"
step layers "$((TOTAL - SECONDS))" "$PYTHON" tools/bench_norm.py --device cuda \
  --shapes "${SHAPES[@]}" --dtypes float32 bfloat16 --rounds 30 \
  --json "$results/$name.json" --markdown "$results/$name.md" --plot "$results/$name.png"
step rows 10 "$PYTHON" -c '
import json, sys
cases = json.load(open(sys.argv[1]))["comparisons"]
missing = sorted({name for case in cases for name in case["left_out"] if "native" in name})
sys.exit(f"missing: {missing}" if missing or not cases else None)' "$results/$name.json"

if ((${#failures[@]})); then
  say "failed: ${failures[*]}; see $log"
  exit 1
fi
say "done in $SECONDS s; the results are in $results"
