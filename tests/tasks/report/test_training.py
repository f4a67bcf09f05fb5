"""The report of a training that took place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tasks.report import write_report
from tests.toy_tasks import TOYS

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_what_a_training_leaves_is_reported(tmp_path, capsys):
    toy = TOYS["classification"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(*command: str) -> None:
        subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True
        )

    size = ("--train", "2", "--val", "1", "--size", "32")
    run("tools/make_toy_data.py", "imagenet", str(tmp_path / "data"), *size)
    options = {**toy.run_options(tmp_path / "data"), "default_hooks.logger.interval": 1}
    run(
        *("tools/train.py", str(toy.config.relative_to(ROOT))),
        *("--work-dir", str(tmp_path / "run"), "--cfg-options"),
        *(f"{key}={value}" for key, value in options.items()),
    )
    report = write_report([tmp_path], tmp_path)
    assert (report.rows, report.skipped) == (1, ())
    page, text = report.html.read_text(), report.markdown.read_text()
    for name in ("classification: Loss and top-1 over iterations", "SN: ratios of every layer"):
        assert name in page
    row = next(line for line in text.splitlines() if line.startswith(r"| resnet18\_toy ("))
    assert "| SN |" in row
    assert "generated data" in row
    assert "incomplete" not in row
    Console(width=120).print(report.tables[0])
    assert "resnet18_toy" in capsys.readouterr().out
