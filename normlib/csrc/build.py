#!/usr/bin/env python
"""Compile the kernels into ``normlib/lib``, with g++ and, where there is one, nvcc.

``pip install`` and ``make`` call :func:`build`. What cannot be built is left out with a line that
says why, in the output and in ``normlib/lib/build.json``, where ``normlib.backend()`` finds it.
Needs the standard library alone, and PyTorch's headers on disk.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
LIBRARIES = SOURCES.parent / "lib"
COMPUTE_CAPABILITIES = ("80", "90", "100")
# What torch has to offer: its stable ABI as of 2.10.
_TORCH_TARGET = "-DTORCH_TARGET_VERSION=0x020a000000000000"
CXX_FLAGS = [
    *("-std=c++17", "-O2", "-ftree-vectorize", "-fPIC", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fopenmp-simd"),
    *("-Wall", "-Wextra", "-Wno-psabi", "-Wno-ignored-attributes", "-Wno-maybe-uninitialized"),
]
# The compilations of the CPU kernels, between which kernels_for.cpp chooses.
INSTRUCTION_SETS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"],
}


class NotBuilt(Exception):
    """Why kernels cannot be built here."""


def build(out: Path = LIBRARIES) -> dict[str, str]:
    """Build what can be built.

    Returns:
        For ``'cpu'`` and ``'cuda'`` what was built, or why not.
    """
    out.mkdir(parents=True, exist_ok=True)
    notes = {}
    for device, compile_ in (("cpu", build_cpu), ("cuda", build_cuda)):
        library = out / f"libnormlib_{device}.so"
        try:
            notes[device] = compile_(library)
            print(f"kernels: {library.name}: {notes[device]}")
        except (NotBuilt, OSError) as reason:
            library.unlink(missing_ok=True)
            notes[device] = f"not built: {reason}"
            print(f"kernels: {device} {notes[device]}", file=sys.stderr)
    _replace(out / "build.json", json.dumps(notes, indent=2) + "\n")
    return notes


def build_cpu(library: Path) -> str:
    """Compile the CPU kernels and their binding."""
    compiler = _cxx()
    torch = _torch()
    x86 = platform.machine() in ("x86_64", "AMD64")
    wanted = INSTRUCTION_SETS if x86 else {"baseline": []}
    kernels = SOURCES / "cpu"
    base = [compiler, *CXX_FLAGS, "-c"]
    with tempfile.TemporaryDirectory() as folder:
        objects = Path(folder)

        def compile_kernels(name: str) -> str | None:
            to = objects / f"{name}.o"
            options = [*wanted[name], f"-DNORMLIB_ISA={name}"]
            try:
                _run([*base, *options, str(kernels / "kernels.cpp"), "-o", str(to)])
            except NotBuilt as reason:
                if name == "baseline":
                    raise
                # The others do without what this compiler cannot compile.
                print(f"kernels: cpu: no {name}: {reason}", file=sys.stderr)
                return None
            return name

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            names = [name for name in pool.map(compile_kernels, wanted) if name]
        choices = [f"-DNORMLIB_{name.upper()}" for name in names]
        binding = ["-isystem", str(torch / "include"), _TORCH_TARGET]
        choice, bound = str(kernels / "kernels_for.cpp"), str(kernels / "binding.cpp")
        _run_all(
            [
                [*base, *choices, choice, "-o", str(objects / "choice.o")],
                [*base, *binding, bound, "-o", str(objects / "binding.o")],
            ]
        )
        _link(compiler, objects, torch, library)
    return ", ".join(names)


def build_cuda(library: Path) -> str:
    """Compile the CUDA kernels for COMPUTE_CAPABILITIES and as PTX, and their binding."""
    nvcc = find_nvcc()
    compiler = _cxx()
    torch = _torch()
    binding = ["-isystem", str(torch / "include"), _TORCH_TARGET]
    with tempfile.TemporaryDirectory() as folder:
        objects = Path(folder)
        jobs = cuda_commands(nvcc, compiler, objects)
        for source in sorted((SOURCES / "cuda").glob("*.cpp")):
            to = str(objects / f"{source.stem}.o")
            jobs.append([compiler, *CXX_FLAGS, *binding, "-c", str(source), "-o", to])
        reports = _run_all(jobs)
        _link(compiler, objects, torch, library, ["-ltorch_cuda", *_static_runtime(nvcc)])
    table = resource_table("".join(reports))
    demangle = shutil.which("c++filt")
    if demangle is not None:
        table = subprocess.run([demangle], input=table, text=True, capture_output=True).stdout
    _replace(library.with_name("cuda_resources.txt"), table)
    return ", ".join(f"sm_{c}" for c in COMPUTE_CAPABILITIES) + ", PTX"


def cuda_commands(nvcc: Path, compiler: str, objects: Path) -> list[list[str]]:
    """One command for each CUDA source."""
    oldest = COMPUTE_CAPABILITIES[0]
    codes = ",".join([f"sm_{c}" for c in COMPUTE_CAPABILITIES] + [f"compute_{oldest}"])
    flags = [
        *("-std=c++17", "-O3", "-Xptxas", "-v", "-Xcompiler", "-fPIC,-fvisibility=hidden"),
        # The backward computes the ReLU's gate again, and must come to the same bits.
        "--fmad=false",
        # One front end for all: the kernels need nothing newer than the oldest.
        f"-gencode=arch=compute_{oldest},code=[{codes}]",
    ]
    return [
        [
            *(str(nvcc), *flags, "-ccbin", compiler),
            *("-c", str(source), "-o", str(objects / f"{source.stem}.o")),
        ]
        for source in sorted((SOURCES / "cuda").glob("*.cu"))
    ]


def find_nvcc() -> Path:
    """The CUDA compiler: $CUDA_HOME's, that of the package index, or the one on the PATH."""
    homes = [Path(os.environ["CUDA_HOME"])] if os.environ.get("CUDA_HOME") else []
    homes += sorted(Path(_site_packages()).glob("nvidia/cu1[3-9]"))
    for home in homes:
        if (home / "bin" / "nvcc").is_file():
            return home / "bin" / "nvcc"
    on_path = shutil.which("nvcc")
    if on_path is None:
        raise NotBuilt("no CUDA compiler; pip install 'normlib[cuda]' brings one, or set CUDA_HOME")
    return Path(on_path)


def resource_table(report: str) -> str:
    """Registers, spills and shared memory of every kernel, from ptxas' report."""
    rows = []
    pattern = re.compile(
        r"Compiling entry function '(?P<name>\w+)' for '(?P<target>\w+)'.*?"
        r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
        r"Used (?P<registers>\d+) registers(?:.*?(?P<shared>\d+) bytes smem)?",
        re.DOTALL,
    )
    for entry in re.split(r"(?=ptxas info\s*: Compiling entry function)", report):
        match = pattern.search(entry)
        if match:
            spilled = int(match["stores"]) + int(match["loads"])
            shared = match["shared"] or "0"
            rows.append((match["target"], match["name"], match["registers"], spilled, shared))
    lines = [f"{'target':<8} {'registers':>9} {'spilled B':>9} {'shared B':>8}  kernel"]
    lines += [
        f"{target:<8} {registers:>9} {spilled:>9} {shared:>8}  {name}"
        for target, name, registers, spilled, shared in sorted(rows)
    ]
    return "\n".join(lines) + "\n"


def _site_packages() -> str:
    return sysconfig.get_paths()["purelib"]


def _torch() -> Path:
    """The folder of PyTorch, also where pip hides it from the build (build isolation)."""
    spec = importlib.util.find_spec("torch")
    origin = Path(spec.origin).parent if spec and spec.origin else Path(_site_packages(), "torch")
    stable = origin / "include" / "torch" / "csrc" / "stable" / "ops.h"
    if not stable.is_file():
        raise NotBuilt(f"no PyTorch with a stable ABI (2.10 or newer) in {origin.parent}")
    if "parallel_for" not in stable.read_text():
        raise NotBuilt(f"PyTorch in {origin} is older than 2.10")
    return origin


def _cxx() -> str:
    wanted = os.environ.get("CXX", "g++")
    compiler = shutil.which(wanted)
    if compiler is None:
        raise NotBuilt(f"no C++ compiler ({wanted}); on Debian or Ubuntu: apt-get install g++")
    return compiler


def _static_runtime(nvcc: Path) -> list[str]:
    for name in ("lib", "lib64"):
        archive = nvcc.parent.parent / name / "libcudart_static.a"
        if archive.is_file():
            return [str(archive), "-ldl", "-lrt", "-lpthread"]
    raise NotBuilt(f"no libcudart_static.a beside {nvcc}")


def _run_all(commands: list[list[str]]) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_run, commands))


def _run(command: list[str]) -> str:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        print(" ".join(command), result.stdout, sep="\n", file=sys.stderr)
        raise NotBuilt(f"{Path(command[0]).name} failed ({_first_error(result.stdout)})")
    return result.stdout


def _first_error(output: str) -> str:
    errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    return errors[0] if errors else "no message"


def _link(
    compiler: str, objects: Path, torch: Path, library: Path, extra: list[str] | None = None
) -> None:
    scratch = library.with_suffix(".so.new")
    files = [str(path) for path in sorted(objects.glob("*.o"))]
    _run(
        [
            *(compiler, "-shared", *files, f"-L{torch / 'lib'}", "-ltorch_cpu", *(extra or [])),
            *("-Wl,--exclude-libs,ALL", "-o", str(scratch)),
        ]
    )
    scratch.replace(library)


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(text)
    scratch.replace(path)


def main() -> None:
    """Build, and fail where a required part was left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=LIBRARIES, help="folder of the libraries")
    parser.add_argument(
        "--require", nargs="*", choices=("cpu", "cuda"), default=[], help="exit 1 without these"
    )
    arguments = parser.parse_args()
    notes = build(arguments.out)
    missing = [device for device in arguments.require if notes[device].startswith("not built")]
    if missing:
        sys.exit(1)


if __name__ == "__main__":
    main()
