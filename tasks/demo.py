"""The demo: small detectors finetuned with every norm on generated data, and one table of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MODELS = {
    "Faster R-CNN": "configs/detection/toy/faster-rcnn_r18_fpn_toy.py",
    "Mask R-CNN": "configs/detection/toy/mask-rcnn_r18_fpn_toy.py",
}
NORMS = ("BN", "GN", "SN", "SyncSN", "SSN")
_ITERATION = re.compile(r"Iter\(train\)\s*\[\s*(\d+)/(\d+)\].*?\bloss: ([\d.naif]+)")


class DemoError(RuntimeError):
    """A run of the demo failed."""


@dataclass(frozen=True)
class Run:
    """One training: a model and a norm, and where its record goes."""

    model: str
    norm: str
    work_dir: Path

    def command(self, data: Path, processes: int, iterations: int | None) -> list[str]:
        """The command line that a user would type for it."""
        options = [f"norm_cfg.type={self.norm}", f"coco_data.root={data}"]
        if iterations is not None:
            options += [f"train_cfg.max_iters={iterations}", f"train_cfg.val_interval={iterations}"]
        return [
            "tools/dist_train.sh",
            MODELS[self.model],
            str(processes),
            *("--work-dir", str(self.work_dir)),
            *("--cfg-options", *options),
        ]


def run_demo(out: Path, norms: tuple[str, ...] = NORMS, iterations: int | None = None) -> None:
    """Make the data, train every model with every norm, and print the table.

    Args:
        out: Folder for the data and the work directories.
        norms: Registry names of the norms.
        iterations: Iterations of each training; None for what the configs say.

    Raises:
        DemoError: A training failed; its log is named.
    """
    console = Console(soft_wrap=not sys.stdout.isatty())
    out = out.resolve()
    data = out / "toy_coco"
    _call([sys.executable, "tools/make_toy_data.py", "coco", str(data)])
    gpus = torch.cuda.device_count()
    processes = min(2, gpus) if gpus else 2
    runs = [Run(m, n, out / f"{Path(MODELS[m]).stem}_{n.lower()}") for m in MODELS for n in norms]
    console.print(
        f"{len(runs)} trainings, each on {processes} {'GPUs' if gpus else 'CPU processes'}"
    )
    start = time.monotonic()
    for k, run in enumerate(runs, 1):
        title = f"[{k}/{len(runs)}] {run.model}, {run.norm}"
        command = run.command(data, processes, iterations)
        if console.is_terminal:
            with console.status(f"{title}: starting") as status:
                for progress in _train(run, command):
                    status.update(f"{title}: {progress}")
        else:
            for _ in _train(run, command):
                pass
        record = json.loads((run.work_dir / "metrics.json").read_text())
        console.print(
            f"{title}: {_seconds(record)} s/iteration, "
            f"box AP {_ap(record, 'bbox')} ({time.monotonic() - start:.0f} s so far)"
        )
    console.print()
    console.print(summary(runs))
    console.print(
        "Toy data and a few dozen iterations from scratch: the table shows that every norm trains "
        f"and what it costs, not which is best.\nLogs, metrics and checkpoints: {out}"
    )


def summary(runs: list[Run]) -> Table:
    """The table of finished runs, read from their work directories."""
    table = Table(title="Detection on generated data")
    for name in ("model", "norm"):
        table.add_column(name)
    for name in ("box AP", "mask AP", "s/iteration", "peak memory (MiB)"):
        table.add_column(name, justify="right")
    for k, run in enumerate(runs):
        record = json.loads((run.work_dir / "metrics.json").read_text())
        table.add_row(
            run.model,
            run.norm,
            _ap(record, "bbox"),
            _ap(record, "segm"),
            _seconds(record),
            f"{record['peak_memory_mib']:.0f}",
            end_section=k + 1 < len(runs) and runs[k + 1].model != run.model,
        )
    return table


def _ap(record: dict, kind: str) -> str:
    value = record["metrics"].get(f"coco/{kind}_mAP")
    return "-" if value is None else f"{100 * value:.1f}"


def _seconds(record: dict) -> str:
    value = record["seconds_per_iteration"]
    return "-" if value is None else f"{value:.3f}"


def _call(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise DemoError(f"{' '.join(command)} failed (exit status {done.returncode})")


def _train(run: Run, command: list[str]) -> Iterator[str]:
    """Start a training, and yield a word on its progress for every line that tells any."""
    run.work_dir.mkdir(parents=True, exist_ok=True)
    (run.work_dir / "metrics.json").unlink(missing_ok=True)
    log = run.work_dir / "output.txt"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    try:
        with log.open("w") as file:
            for line in process.stdout:
                file.write(line)
                if match := _ITERATION.search(line):
                    yield f"iteration {match[1]} of {match[2]}, loss {match[3]}"
                elif "Iter(val)" in line:
                    yield "evaluating"
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.terminate()
        code = process.wait()
    if code != 0 or not (run.work_dir / "metrics.json").is_file():
        tail = "".join(log.read_text().splitlines(keepends=True)[-15:])
        raise DemoError(
            f"{run.model} with {run.norm} failed (exit status {code}); whole log: {log}\n{tail}"
        )
