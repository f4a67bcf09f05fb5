"""A cluster without Slurm."""

from __future__ import annotations

import os

import pytest

# Refuses jobs of REFUSED GPUs.
SBATCH = """#!/bin/bash
if grep -q -- "--gpus-per-node=${REFUSED:-none}$" "$1"; then
    echo "sbatch: error: Requested node configuration is not available" >&2
    exit 1
fi
number=$((100 + $(ls "$SCRIPTS" | wc -l)))
cp "$1" "$SCRIPTS/$number"
echo "Submitted batch job $number"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Stubs of sbatch and srun; gives the scripts that sbatch was given, by number."""
    commands, scripts = tmp_path / "bin", tmp_path / "scripts"
    for folder in (commands, scripts):
        folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": "#!/bin/bash\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SCRIPTS", str(scripts))
    return lambda: {path.name: path.read_text() for path in sorted(scripts.iterdir())}
