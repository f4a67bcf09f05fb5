"""gpu_check.sh: without a GPU it says so; with one it runs all steps and tells which failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Stands in for Python with torch on a GPU: writes the files that are asked for, and its arguments.
PYTHON = f"""#!/bin/bash
if [[ $1 == -c && $2 == *get_device_name* ]]; then echo "${{GPU:?}}"; exit 0; fi
if [[ $1 == -c && $2 == *json* ]]; then exec {sys.executable} "$@"; fi
echo "$*" >> "$RECORD"
if [[ -n ${{FAIL:-}} && "$*" == *"$FAIL"* ]]; then echo 'it broke'; exit 3; fi
layers='{{"comparisons": [{{"left_out": {{%s}}}}]}}'
while (($#)); do
    if [[ $1 == --json ]]; then printf "$layers" "${{LEFT_OUT:-}}" > "$2"; fi
    if [[ $1 == --markdown ]]; then echo table > "$2"; fi
    shift
done
"""


class Machine:
    """A checkout whose name needs quoting, and stubs for the driver and for Python."""

    def __init__(self, folder):
        self.root = folder / "a tree"
        (self.root / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools" / "gpu_check.sh", self.root / "tools")
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.record = folder / "record"
        self.results = folder / "the results"
        self.stub("nvidia-smi", "#!/bin/sh\necho 'NVIDIA H200, 580.1, 141 GiB'\n")
        self.stub("python", PYTHON)
        self.stub(
            "compute-sanitizer", '#!/bin/bash\nwhile [[ $1 != */python ]]; do shift; done\n"$@"\n'
        )

    def stub(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *arguments, **variables):
        environment = os.environ | {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHON": str(self.bin / "python"),
            "RECORD": str(self.record),
        }
        return subprocess.run(
            [self.root / "tools" / "gpu_check.sh", *(arguments or [self.results])],
            capture_output=True,
            text=True,
            env=environment | variables,
            timeout=60,
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_a_driver_it_says_so_and_exits_2(machine):
    machine.stub("nvidia-smi", "#!/bin/sh\nexit 9\n")
    result = machine.run()
    assert result.returncode == 2
    assert result.stderr == "gpu_check: error: no GPU to check: nvidia-smi does not run\n"
    assert not machine.results.exists()


def test_without_a_gpu_in_torch_it_says_so_and_exits_2(machine):
    result = machine.run()  # the stub fails where GPU is not set
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "torch.cuda.is_available() is False" in result.stderr
    assert not machine.results.exists()


def test_all_steps_run_and_write_into_the_folder(machine):
    result = machine.run(GPU="NVIDIA H200")
    assert result.returncode == 0, result.stdout + result.stderr
    names = {path.name for path in machine.results.iterdir()}
    files = {"nvidia-h200.txt", "nvidia-h200.log", "nvidia-h200.json", "nvidia-h200.md"}
    assert names >= files | {"nvidia-h200-resnet50.json", "nvidia-h200-resnet50.md"}
    facts = (machine.results / "nvidia-h200.txt").read_text()
    assert "580.1" in facts
    steps = ["build", "kernels", "tests", "memcheck", "training", "layers", "rows"]
    assert [line.split(": ")[0] for line in facts.splitlines() if ": ok" in line] == steps
    commands = machine.record.read_text()
    for piece in ("build.py --require cpu cuda", "pytest -m cuda tests/normlib", "--resnet50"):
        assert piece in commands
    assert "--dtypes float32 bfloat16" in commands


def test_a_step_that_fails_is_named_and_the_others_run(machine):
    result = machine.run(GPU="NVIDIA H200", FAIL="-m pytest")
    assert result.returncode == 1
    assert "failed: tests; see " in result.stdout
    facts = (machine.results / "nvidia-h200.txt").read_text()
    assert "tests: failed (exit status 3)" in facts
    assert "layers: ok" in facts
    assert "it broke" in (machine.results / "nvidia-h200.log").read_text()


def test_layers_that_fell_out_make_it_fail(machine):
    result = machine.run(GPU="NVIDIA H200", LEFT_OUT='"SN native": "no kernels"')
    assert result.returncode == 1
    assert "missing: ['SN native']" in result.stdout


def test_help_and_unknown_options(machine):
    assert "Usage: tools/gpu_check.sh [FOLDER]" in machine.run("--help").stdout
    assert machine.run("--help").returncode == 0
    assert machine.run("--fast").returncode == 2
    assert machine.run("one", "two").returncode == 2
