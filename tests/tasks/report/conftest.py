from __future__ import annotations

from pathlib import Path

import pytest

from tasks.report import Report, write_report
from tests.tasks.report.work_dirs import (
    write_benchmark,
    write_metrics,
    write_ratios,
    write_run,
    write_scalars,
)

HOSTILE = '<script>document.title = "owned"</script><img src=x onerror="document.title=1">'
RESNET = "configs/classification/toy/resnet18_toy.py"


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Report:
    """The report of small runs of two tasks, of which some are incomplete, broken or hostile."""
    root = tmp_path_factory.mktemp("demo")
    for seed in range(6):
        for norm, gain in (("BN", 0.0), ("GN", -1.0), ("SSN", 2.0)):
            run = write_run(root, "detection", norm, seed, 24.0 + seed + gain)
            write_benchmark(run, norm=norm, seed=seed)
            losses = {step: 3.0 - step / 20 for step in range(10, 41, 10)}
            write_scalars(run, losses, {40: {"coco/bbox_mAP": 0.24 + gain / 100}})
            if norm == "SSN" and seed < 2:
                write_ratios(run, norm, ("backbone", "neck"))
    write_run(root, "detection", "SN", 0, 12.0, iterations=20, evaluated_at=20)
    write_run(root, "classification", "SN", 0, 55.0, RESNET)
    hostile = write_run(
        root / "hostile", "classification", "XX", 0, 50.0, RESNET,
        run_norm=f"$x$ | {HOSTILE}", run_options=[f"x={HOSTILE}"], device=f"**{HOSTILE}**",
    )  # fmt: skip
    write_benchmark(hostile, task="classification", model=f"</style></svg>{HOSTILE}")
    write_scalars(hostile, {10: 1.0}, {})
    write_ratios(hostile, "SN", ("backbone",))
    (write_metrics(root / HOSTILE.replace("/", "_")) / "metrics.json").write_text("{")
    return write_report([root], Path(root, "out"))
