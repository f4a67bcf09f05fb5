#!/usr/bin/env bash
# Creates the virtual environment: the packages of requirements.lock and this project (editable).
# Run again, it does only what has become necessary.
#
# Usage: tools/install.sh [--packages]
#
#   --packages     the packages alone, which need pyproject.toml and requirements.lock: a layer of an
#                  image that changes of the source leave as it is
#
# Environment:
#   PYTHON         interpreter to build on (default: that of an existing VENV, else the first of
#                  python3, python3.13 ... python3.10 whose version the project supports)
#   VENV           where the environment goes (default: .venv in the repository)
#   TORCH_VARIANT  which PyTorch (default: that of an existing VENV, else cuda)
#                    cuda    that of requirements.lock, with its CUDA libraries
#                    cpu     the same version, built for CPUs, from TORCH_INDEX
#                    system  that of PYTHON, with its torchvision: nothing of it is installed
#   TORCH_INDEX    index of CPU builds (default: https://download.pytorch.org/whl/cpu)
#   TMPDIR         where pip keeps temporary files (default: inside VENV)
#   PIP_CACHE_DIR  where pip keeps downloads (default: ~/.cache/pip)
set -euo pipefail
trap 'exit 130' INT
trap 'exit 143' TERM

packages_only=''
if [[ $# == 1 && $1 == --packages ]]; then
  packages_only=yes
elif (($#)); then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  [[ $1 == -h || $1 == --help ]] && exit 0
  exit 2
fi

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$repo"

# Disk space in MB that a complete installation takes, for each TORCH_VARIANT.
readonly -A VENV_SIZES=([cuda]=6000 [cpu]=2200 [system]=1300)
readonly -A DOWNLOADS=([cuda]=3000 [cpu]=700 [system]=400)
# What of requirements.lock is PyTorch and what it brings along.
readonly TORCH_PACKAGES='(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)=='
# What opencv-python loads from the system, and the packages of Debian that hold it.
readonly -a OPENCV_LIBRARIES=(libGL.so.1 libxcb.so.1 libgthread-2.0.so.0)
readonly -a OPENCV_PACKAGES=(libgl1 libglib2.0-0)
readonly MORE_SPACE='Free some, or name folders on a larger disk:
    make test VENV=/large/venv TMPDIR=/large/tmp PIP_CACHE_DIR=/large/cache'
readonly NETWORK_ERRORS='NewConnectionError|NameResolution|name resolution|ConnectTimeout'\
'|ReadTimeout|ProxyError|ConnectionReset|IncompleteRead'\
'|[Ff]ailed to establish a new connection|Connection (refused|broken|timed out)'

say() {
  printf 'install: %s\n' "$*"
}

fail() { # WHAT [LINE ...]
  printf 'install: error: %s\n' "$1" >&2
  shift
  if (($#)); then printf '  %s\n' "$@" >&2; fi
  exit 1
}

# --- Python ---------------------------------------------------------------------------------------

read -r oldest newest < <(
  sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' pyproject.toml
) || fail 'pyproject.toml has no line requires-python = ">=3.A,<3.B"'
newest=$((newest - 1))

version_of() { # INTERPRETER -> "3.11", or failure
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

supported() { # "3.11"
  [[ $1 == 3.* ]] && ((${1#3.} >= oldest && ${1#3.} <= newest))
}

verdict() { # "3.9" -> "too old"
  if [[ $1 == 3.* ]] && ((${1#3.} > newest)); then echo 'too new'; else echo 'too old'; fi
}

wrong_python() { # WHAT
  fail "$1; the project needs Python 3.$oldest to 3.$newest." \
    "Install one (apt-get install python3.$newest python3.$newest-venv where the distribution" \
    'has it, else with pyenv or uv, or from https://www.python.org/downloads) and name it:' \
    "  make test PYTHON=/path/to/python3.$newest"
}

choose_python() { # sets PYTHON and version
  local minor candidate seen=''
  if [[ -n ${PYTHON:-} ]]; then
    version=$(version_of "$PYTHON") || wrong_python "PYTHON=$PYTHON does not run"
    supported "$version" || wrong_python "PYTHON=$PYTHON is Python $version, $(verdict "$version")"
    return
  fi
  for minor in '' $(seq "$newest" -1 "$oldest"); do
    candidate=python3${minor:+.$minor}
    version=$(version_of "$candidate") || continue
    if supported "$version"; then
      PYTHON=$candidate
      return
    fi
    seen="$candidate is Python $version, $(verdict "$version")"
  done
  wrong_python "${seen:-no python3 was found}"
}

# --- What has to be there before ------------------------------------------------------------------

missing_library() { # prints the loader's complaint about the first library that is missing
  "$PYTHON" -c '
import ctypes, sys
try:
    for name in sys.argv[1:]:
        ctypes.CDLL(name)
except OSError as error:
    print(error)' "${OPENCV_LIBRARIES[@]}"
}

check_system() {
  local problems=() packages=() complaint
  if ! "$PYTHON" -c 'import venv; from ensurepip import bootstrap' 2>/dev/null &&
    ! "$PYTHON" -c 'import venv; from pip import main' 2>/dev/null; then
    problems+=("$PYTHON (Python $version) has neither ensurepip nor pip to make an environment with.")
    if [[ ${PYTHON##*/} == python3 ]]; then
      packages+=(python3-venv)
    else
      packages+=("python$version-venv")
    fi
  fi
  complaint=$(missing_library)
  if [[ -n $complaint ]]; then
    problems+=("OpenCV cannot load a library: $complaint")
    packages+=("${OPENCV_PACKAGES[@]}")
  fi
  if ((${#problems[@]})); then
    fail 'this system lacks something.' "${problems[@]}" \
      'On Debian or Ubuntu, as root:' "  apt-get install -y ${packages[*]}"
  fi
}

shortage() { # FOLDER MB [FOLDER MB ...] -> one line for each file system that is too small
  local -A need=() free=() folders=()
  local folder available mount
  while (($#)); do
    folder=$1
    until [[ -d $folder ]]; do folder=$(dirname "$folder"); done
    read -r available mount < <(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024), $6 }')
    need[$mount]=$((${need[$mount]:-0} + $2))
    free[$mount]=$available
    folders[$mount]+="${folders[$mount]:+, }$1"
    shift 2
  done
  for mount in "${!need[@]}"; do
    if ((free[$mount] < need[$mount])); then
      echo "$mount has ${free[$mount]} MB free of ${need[$mount]} MB needed (${folders[$mount]})."
    fi
  done
}

check_disk() { # may set PIP_NO_CACHE_DIR
  local cache lines present=0
  if [[ -d $VENV/lib ]]; then present=$(du -smx "$VENV/lib" | cut -f1); fi
  if ((present > venv_mb / 2)); then return; fi # an update, of unknown size
  cache=${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-~/.cache}/pip}
  lines=$(shortage "$VENV" "$venv_mb" "$scratch" "$download_mb" "$cache" "$download_mb")
  if [[ -z $lines ]]; then return; fi
  lines=$(shortage "$VENV" "$venv_mb" "$scratch" "$download_mb")
  if [[ -n $lines ]]; then fail 'not enough disk space.' "${lines//$'\n'/$'\n'  }" "$MORE_SPACE"; fi
  say "too little space to keep downloads in $cache; installing without pip's cache"
  export PIP_NO_CACHE_DIR=1
}

# --- PyTorch --------------------------------------------------------------------------------------

choose_variant() { # sets variant, and of an existing VENV system_torch
  local present='' file=$VENV/.torch
  system_torch=''
  if [[ -e $file ]]; then { read -r present && read -r system_torch; } <"$file" || true; fi
  if [[ -z $present && -e $stamp ]]; then present=cuda; fi # made before there were variants
  variant=${TORCH_VARIANT:-${present:-cuda}}
  [[ -n ${VENV_SIZES[$variant]:-} ]] || fail "TORCH_VARIANT=$variant is none of cuda, cpu, system."
  kept_variant=${present:-$variant}
  venv_mb=${VENV_SIZES[$variant]}
  download_mb=${DOWNLOADS[$variant]}
}

torch_of() { # INTERPRETER -> "2.11.0 /path/of/torch/__init__.py", or failure
  "$1" -c '
import importlib.metadata, importlib.util
print(importlib.metadata.version("torch"), importlib.util.find_spec("torch").origin)' 2>/dev/null
}

number() { # "2.11.0a0+1234" -> 2011
  [[ $1 =~ ^([0-9]+)(\.([0-9]+))? ]] && echo $((BASH_REMATCH[1] * 1000 + ${BASH_REMATCH[3]:-0}))
}

find_system_torch() { # sets system_torch
  local range='^dependencies = \["torch>=\([0-9.]*\),<\([0-9.]*\)"\]$' from below found
  read -r from below < <(sed -n "s/$range/\1 \2/p" pyproject.toml) ||
    fail 'pyproject.toml has no line dependencies = ["torch>=A,<B"]'
  system_torch=$(torch_of "$PYTHON") ||
    fail "TORCH_VARIANT=system, but $PYTHON has no torch." 'Name the interpreter that has it: PYTHON=...'
  found=$(number "$system_torch")
  if ((found < $(number "$from") || found >= $(number "$below"))); then
    fail "$PYTHON has torch ${system_torch% *}; the project needs torch>=$from,<$below." \
      'Take another image, or leave TORCH_VARIANT=system out.'
  fi
}

install_packages() {
  local rest=$VENV/.requirements
  if [[ $variant == cuda ]]; then
    run_pip --no-deps -r requirements.lock
    return
  fi
  if [[ $variant == cpu ]]; then
    local -a pins
    mapfile -t pins < <(sed -nE 's/^((torch|torchvision)==[^ ]+).*/\1/p' requirements.lock)
    run_pip --no-deps --index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" "${pins[@]}"
  fi
  grep -vE "^$TORCH_PACKAGES" requirements.lock >"$rest"
  run_pip --no-deps -r "$rest"
}

check_torch() { # that PyTorch is the one that was asked for, and whole
  local now complaint
  if [[ $variant == system ]]; then
    now=$(torch_of "$VENV/bin/python") || now=none
    [[ $now == "$system_torch" ]] || spoilt "torch was $system_torch, and is now $now."
  fi
  if ! complaint=$("$VENV/bin/python" -c 'import torch, torchvision' 2>&1); then
    spoilt 'PyTorch cannot be imported:' "${complaint##*$'\n'}"
  fi
  if [[ $variant == cpu ]]; then
    now=$("$VENV/bin/python" -c 'import torch; print(torch.version.cuda)')
    [[ $now == None ]] || spoilt "TORCH_INDEX gave a torch built for CUDA $now, not one for CPUs."
  fi
}

spoilt() { # WHAT [LINE ...]; VENV is made anew next time
  touch "$unfinished"
  fail "$@"
}

# --- The environment ------------------------------------------------------------------------------

reusable() { # whether VENV can be kept; sets version
  version=$(version_of "$VENV/bin/python") || return 1
  supported "$version" || return 1
  [[ -d $VENV/lib/python$version/site-packages/pip && ! -e $unfinished ]] || return 1
  # A virtual environment holds its own path and does not work from another one.
  if [[ -e $stamp ]] && ! grep -qxF "path $VENV" "$stamp"; then return 1; fi
  if [[ $kept_variant != "$variant" ]]; then return 1; fi
  if [[ -n ${PYTHON:-} && $(version_of "$PYTHON" || true) != "$version" ]]; then return 1; fi
}

create_venv() {
  if [[ -e $VENV/pyvenv.cfg || -e $unfinished ]]; then
    say "removing $VENV (unfinished, moved, or made with another Python or torch)"
    rm -rf "$VENV"
  elif [[ -d $VENV && -n $(ls -A "$VENV") ]]; then
    fail "VENV=$VENV is a folder with other content." 'Give VENV another path.'
  fi
  say "creating $VENV with $PYTHON (Python $version)"
  mkdir -p "$VENV"
  touch "$unfinished"
  if "$PYTHON" -c 'from ensurepip import bootstrap' 2>/dev/null; then
    "$PYTHON" -m venv "$VENV"
  else
    "$PYTHON" -m venv --without-pip "$VENV"
    PYTHONPATH=$("$PYTHON" -c 'import os, pip; print(os.path.dirname(pip.__path__[0]))') \
      run_pip --ignore-installed pip
  fi
  if [[ $variant == system ]]; then
    sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' "$VENV/pyvenv.cfg"
  fi
  printf '%s\n' "$variant" "$system_torch" >"$VENV/.torch"
}

run_pip() { # ARGUMENTS of pip install
  local log=$VENV/.pip.log
  mkdir -p "$scratch"
  touch "$unfinished"
  if TMPDIR=$scratch "$VENV/bin/python" -m pip install \
    --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 | tee "$log"; then
    rm -rf "$unfinished" "$log" "$VENV/.tmp"
    return
  fi
  if ! grep -q '^Installing collected packages' "$log"; then rm -f "$unfinished"; fi
  if grep -qE 'No space left on device|Disk quota exceeded' "$log"; then
    fail 'the disk is full (message of pip above).' "$MORE_SPACE"
  elif grep -qE "$NETWORK_ERRORS" "$log"; then
    fail 'pip could not reach the package index (message of pip above).' \
      'Check the network, or name a proxy (HTTPS_PROXY=...) or a mirror (PIP_INDEX_URL=...).'
  fi
  fail 'pip failed (its message is above).'
}

check_opencv() {
  local complaint
  if complaint=$("$VENV/bin/python" -c 'import cv2' 2>&1); then return; fi
  if [[ $complaint == *'cannot open shared object file'* ]]; then
    fail 'OpenCV cannot load a library:' "${complaint##*$'\n'}" \
      'On Debian or Ubuntu, as root:' "  apt-get install -y ${OPENCV_PACKAGES[*]}"
  fi
  fail 'OpenCV cannot be imported:' "$complaint"
}

checksum() {
  cksum <"$1" | tr ' ' -
}

VENV=${VENV:-.venv}
VENV=${VENV%/}
[[ $VENV == /* ]] || VENV=$repo/$VENV
scratch=${TMPDIR:-$VENV/.tmp}
stamp=$VENV/.installed         # what is installed
unfinished=$VENV/.unfinished   # exists while packages may be half-installed
choose_variant

installed=''
if reusable; then
  new=''
  PYTHON=$VENV/bin/python
  if [[ -e $stamp ]]; then installed=$(<"$stamp"); fi
else
  new=yes
  choose_python
  if [[ $variant == system ]]; then find_system_torch; fi
fi

packages_stamp="path $VENV
python $version
lock $(checksum requirements.lock)"
if [[ $installed != "$packages_stamp"* ]]; then
  check_system
  check_disk
  if [[ -n $new ]]; then create_venv; fi
  say "installing requirements.lock (downloads up to $download_mb MB, takes some minutes)"
  rm -f "$stamp"
  install_packages
  if [[ $variant != cuda ]]; then check_torch; fi
  installed=$packages_stamp
  echo "$installed" >"$stamp"
fi

if [[ -n $packages_only ]]; then
  check_opencv
  say "$VENV has the packages, Python $version"
  exit 0
fi

# Not what Python compiles on import, in __pycache__.
complete_stamp="$packages_stamp
project $repo $(checksum pyproject.toml)
kernels $(checksum <(cat setup.py normlib/csrc/*.* normlib/csrc/[!_]*/*.*)) $(command -v "${CXX:-g++}" || true)"

if [[ $installed == "$complete_stamp" && -e normlib/lib/build.json ]]; then
  say "$VENV is up to date"
  exit 0
fi

say 'installing the project (editable) and compiling its kernels'
run_pip --no-deps --no-build-isolation --quiet -e .
"$VENV/bin/python" -c '
import json
with open("normlib/lib/build.json") as file:
    for device, note in json.load(file).items():
        print(f"install: kernels for {device}: {note}")'
check_opencv
echo "$complete_stamp" >"$stamp"
say "done: $VENV, Python $version, torch: $variant"
