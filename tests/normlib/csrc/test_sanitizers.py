"""The CPU kernels under AddressSanitizer."""

from __future__ import annotations

import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from normlib.csrc import build

HERE = Path(__file__).parent
KERNELS = build.SOURCES / "cpu"
SANITIZER = ["-fsanitize=address", "-g1", "-O1"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = shutil.which("g++")
    if compiler is None or platform.machine() != "x86_64":
        pytest.skip("needs g++ on x86-64")
    folder = tmp_path_factory.mktemp("sanitizers")
    flags = [flag for flag in build.CXX_FLAGS if not flag.startswith("-O")]
    sources = [([], KERNELS / "kernels_for.cpp"), ([], HERE / "exercise.cpp")]
    sources += [
        ([*options, f"-DNORMLIB_ISA={name}"], KERNELS / "kernels.cpp")
        for name, options in build.INSTRUCTION_SETS.items()
    ]

    choices = [f"-DNORMLIB_{name.upper()}" for name in build.INSTRUCTION_SETS]

    def compile_(job):
        number, (options, source) = job
        to = folder / f"{number}.o"
        command = [compiler, *flags, *SANITIZER, *choices, *options, "-c", str(source)]
        subprocess.run([*command, "-o", str(to)], check=True)
        return str(to)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_, enumerate(sources)))
    path = folder / "exercise"
    subprocess.run([compiler, *SANITIZER, *objects, "-lpthread", "-o", str(path)], check=True)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("instructions", build.INSTRUCTION_SETS)
def test_no_kernel_leaves_its_buffers(program, instructions):
    result = subprocess.run([program, instructions], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[:3000]
    if "absent" in result.stdout:
        pytest.skip(f"this processor has no {instructions}")
    assert f"{instructions}: 640 problems" in result.stdout
