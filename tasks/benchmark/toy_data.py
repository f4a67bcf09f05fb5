"""Generated data of a benchmark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .plan import ROOT

# The key of configs that takes the root of a generated set.
SWITCHES = {
    "imagenet": "imagenet_data",
    "coco": "coco_data",
    "ade20k": "ade20k_data",
    "cityscapes": "cityscapes_data",
    "faces": "face_data",
    "kinetics": "kinetics_data",
}


def toy_folder(out: Path, name: str) -> Path:
    """Where a generated set lies."""
    return out / "data" / f"toy_{name}"


def make_toy_data(out: Path, name: str) -> str:
    """Generate a set unless it is there.

    Args:
        out: Folder of the benchmark.
        name: Of the set.

    Returns:
        What was done, in a line.

    Raises:
        RuntimeError: It cannot be made.
    """
    command = [sys.executable, "tools/make_toy_data.py", name, str(toy_folder(out, name))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"{name}: made"
