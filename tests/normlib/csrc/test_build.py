"""The build of the kernels, and what happens where parts of it cannot be had."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from normlib.csrc import build
from normlib.ops import native

REPORT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5firstPf' for 'sm_90'
ptxas info    : Function properties for _Z5firstPf
    0 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 128 bytes smem
ptxas info    : Compiling entry function '_Z6secondPf' for 'sm_80'
ptxas info    : Function properties for _Z6secondPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 96 registers, used 0 barriers
"""


def test_resources_of_every_kernel_are_listed():
    rows = [line.split() for line in build.resource_table(REPORT).splitlines()[1:]]
    assert rows == [
        ["sm_80", "96", "0", "0", "_Z6secondPf"],
        ["sm_90", "40", "24", "128", "_Z5firstPf"],
    ]


def test_without_compilers_the_build_succeeds_and_says_what_is_missing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "_site_packages", lambda: str(tmp_path))
    (tmp_path / "libnormlib_cpu.so").touch()
    notes = build.build(tmp_path)
    assert "no C++ compiler (no-such-compiler)" in notes["cpu"]
    assert "no CUDA compiler" in notes["cuda"]
    assert json.loads((tmp_path / "build.json").read_text()) == notes
    assert not (tmp_path / "libnormlib_cpu.so").exists()
    assert "cpu not built" in capsys.readouterr().err


def test_a_compiler_that_fails_is_named_with_its_message(tmp_path, monkeypatch):
    compiler = tmp_path / "broken-g++"
    compiler.write_text("#!/bin/sh\necho 'x.cpp:1: error: out of registers'\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(build.NotBuilt, match=r"broken-g.. failed.*out of registers"):
        build.build_cpu(tmp_path / "libnormlib_cpu.so")


def test_the_command_fails_where_a_required_part_is_missing(tmp_path):
    command = [sys.executable, build.__file__, "--out", str(tmp_path), "--require", "cpu"]
    environment = {"CXX": "no-such-compiler", "PATH": str(tmp_path), "CUDA_HOME": str(tmp_path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert "no-such-compiler" in result.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_this_installation_has_its_kernels():
    assert native.availability("cpu").ready, native.availability("cpu").reason


@pytest.mark.skipif(
    not list(Path(build._site_packages()).glob("nvidia/cu13/bin/nvcc")),
    reason="needs the CUDA compiler of the package index",
)
def test_the_cuda_kernels_compile_for_every_architecture():
    assert (native.LIBRARIES / "libnormlib_cuda.so").is_file()
    table = (native.LIBRARIES / "cuda_resources.txt").read_text().splitlines()[1:]
    targets = {line.split()[0] for line in table}
    assert targets == {f"sm_{c}" for c in build.COMPUTE_CAPABILITIES}
    # Not in the loops: around the divisions before them.
    assert max(int(line.split()[2]) for line in table) <= 64


def test_where_no_kernels_were_built_the_eager_backend_serves_and_says_why(tmp_path):
    code = f"""
import json, pathlib
from normlib.ops import native
native.LIBRARIES = pathlib.Path({str(tmp_path)!r})
native.availability.cache_clear()
native._loaded.clear()
import normlib, torch
print(*normlib.backend())
print(normlib.SwitchNorm(3)(torch.randn(2, 3, 4, 4)).shape)
normlib.use_backend("native").__enter__()
"""
    (tmp_path / "build.json").write_text(json.dumps({"cpu": "not built: no C++ compiler (g++)"}))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.startswith("eager PyTorch alone; no compiled kernels: not built: no C++")
    assert "torch.Size([2, 3, 4, 4])" in result.stdout
    assert "ValueError: backend is 'native', and there are no compiled kernels" in result.stderr
