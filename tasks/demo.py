"""The demo: small models pretrained and finetuned with every norm on generated data."""

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
CLASSIFIER = "configs/classification/toy/resnet18_toy.py"
DETECTORS = {
    "Faster R-CNN": "configs/detection/toy/faster-rcnn_r18_fpn_toy.py",
    "Mask R-CNN": "configs/detection/toy/mask-rcnn_r18_fpn_toy.py",
}
NORMS = ("BN", "GN", "SN", "SyncSN", "SSN")
# Synchronised and sparse norms start from the weights of plain SN, as in the papers.
_PRETRAINED = {"SyncSN": "SN", "SSN": "SN", "SyncSSN": "SN", "SyncBN": "BN"}
_ITERATION = re.compile(r"Iter\(train\)\s*\[\s*(\d+)/(\d+)\].*?\bloss: ([\d.naif]+)")
_EPOCH = re.compile(r"Epoch\(train\)\s*\[(\d+)\]\[\s*(\d+)/(\d+)\].*?\bloss: ([\d.naif]+)")


class DemoError(RuntimeError):
    """A run of the demo failed."""


@dataclass(frozen=True)
class Run:
    """One training: a model and a norm, its config, and where its record goes."""

    model: str
    norm: str
    config: str
    work_dir: Path
    options: tuple[str, ...] = ()

    def command(self, processes: int) -> list[str]:
        """The command line that a user would type for it."""
        return [
            "tools/dist_train.sh",
            self.config,
            str(processes),
            *("--work-dir", str(self.work_dir)),
            *("--cfg-options", f"norm_cfg.type={self.norm}", *self.options),
        ]

    def record(self) -> dict:
        """What the training wrote down of itself."""
        return json.loads((self.work_dir / "metrics.json").read_text())


def plan(
    out: Path, norms: tuple[str, ...] = NORMS, iterations: int | None = None
) -> tuple[list[Run], list[Run]]:
    """The pretrainings, and the finetunings that start from them.

    Args:
        out: Folder of the data and the work directories.
        norms: Registry names of the norms.
        iterations: Iterations of each training; None for what the configs say.
    """
    short: list[str] = []
    if iterations is not None:
        short = [
            *("train_cfg._delete_=True", "train_cfg.type=IterBasedTrainLoop"),
            *(f"train_cfg.max_iters={iterations}", f"train_cfg.val_interval={iterations}"),
            *("default_hooks.checkpoint.by_epoch=False", "log_processor.by_epoch=False"),
            f"default_hooks.checkpoint.interval={iterations}",
        ]
    pretrainings = {
        norm: Run(
            "ResNet-18",
            norm,
            CLASSIFIER,
            out / f"{Path(CLASSIFIER).stem}_{norm.lower()}",
            (f"imagenet_data.root={out / 'toy_imagenet'}", *short),
        )
        for norm in dict.fromkeys(_PRETRAINED.get(norm, norm) for norm in norms)
    }
    finetunings = []
    for model, config in DETECTORS.items():
        for norm in norms:
            folder = pretrainings[_PRETRAINED.get(norm, norm)].work_dir
            options = [
                f"coco_data.root={out / 'toy_coco'}",
                "model.backbone.init_cfg._delete_=True",
                "model.backbone.init_cfg.type=Pretrained",
                f"model.backbone.init_cfg.checkpoint={folder / 'pretrained.pth'}",
                "model.backbone.init_cfg.prefix=backbone.",
                *short,
            ]
            work_dir = out / f"{Path(config).stem}_{norm.lower()}"
            finetunings.append(Run(model, norm, config, work_dir, tuple(options)))
    return list(pretrainings.values()), finetunings


def run_demo(out: Path, norms: tuple[str, ...] = NORMS, iterations: int | None = None) -> None:
    """Make the data, pretrain a backbone, finetune detectors from it, and print the tables.

    Args:
        out: Folder for the data and the work directories.
        norms: Registry names of the norms.
        iterations: Iterations of each training; None for what the configs say.

    Raises:
        DemoError: A training failed; its log is named.
    """
    console = Console(soft_wrap=not sys.stdout.isatty())
    out = out.resolve()
    for name in ("imagenet", "coco"):
        _call([sys.executable, "tools/make_toy_data.py", name, str(out / f"toy_{name}")])
    gpus = torch.cuda.device_count()
    processes = min(2, gpus) if gpus else 2
    pretrainings, finetunings = plan(out, norms, iterations)
    runs = [*pretrainings, *finetunings]
    console.print(
        f"{len(runs)} trainings, each on {processes} {'GPUs' if gpus else 'CPU processes'}"
    )
    start = time.monotonic()
    for k, run in enumerate(runs, 1):
        title = f"[{k}/{len(runs)}] {run.model}, {run.norm}"
        command = run.command(processes)
        if console.is_terminal:
            with console.status(f"{title}: starting") as status:
                for progress in _train(run, command):
                    status.update(f"{title}: {progress}")
        else:
            for _ in _train(run, command):
                pass
        if run in pretrainings:
            _name_weights(run)
            result = f"top-1 {_percent(run.record(), 'accuracy/top1', 1)} %"
        else:
            result = f"box AP {_percent(run.record(), 'coco/bbox_mAP')}"
        console.print(
            f"{title}: {_seconds(run.record())} s/iteration, {result} "
            f"({time.monotonic() - start:.0f} s so far)"
        )
    console.print()
    console.print(pretraining_table(pretrainings))
    console.print(finetuning_table(finetunings))
    console.print(
        "Generated data and a few dozen iterations: the tables show that every norm trains and "
        f"what it costs, not which is best.\nLogs, metrics and checkpoints: {out}"
    )


def pretraining_table(runs: list[Run]) -> Table:
    """The table of finished pretrainings, read from their work directories."""
    table = Table(title="Classification on generated data, 8 classes")
    for name in ("model", "norm"):
        table.add_column(name)
    for name in ("top-1 (%)", "s/iteration", "peak memory (MiB)"):
        table.add_column(name, justify="right")
    for run in runs:
        record = run.record()
        top1 = _percent(record, "accuracy/top1", 1)
        memory = f"{record['peak_memory_mib']:.0f}"
        table.add_row(run.model, run.norm, top1, _seconds(record), memory)
    return table


def finetuning_table(runs: list[Run]) -> Table:
    """The table of finished finetunings, read from their work directories."""
    table = Table(title="Detection on generated data, from these backbones")
    for name in ("model", "norm"):
        table.add_column(name)
    for name in ("box AP", "mask AP", "s/iteration", "peak memory (MiB)"):
        table.add_column(name, justify="right")
    for k, run in enumerate(runs):
        record = run.record()
        table.add_row(
            run.model,
            run.norm,
            _percent(record, "coco/bbox_mAP"),
            _percent(record, "coco/segm_mAP"),
            _seconds(record),
            f"{record['peak_memory_mib']:.0f}",
            end_section=k + 1 < len(runs) and runs[k + 1].model != run.model,
        )
    return table


def _name_weights(run: Run) -> None:
    """Give the last checkpoint a name that does not depend on the number of epochs."""
    last = Path((run.work_dir / "last_checkpoint").read_text().strip())
    named = run.work_dir / "pretrained.pth"
    named.unlink(missing_ok=True)
    named.symlink_to(last.name)


def _percent(record: dict, metric: str, scale: float = 100) -> str:
    value = record["metrics"].get(metric)
    return "-" if value is None else f"{scale * value:.1f}"


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
                elif match := _EPOCH.search(line):
                    yield f"epoch {match[1]}, {match[2]} of {match[3]}, loss {match[4]}"
                elif "(val)" in line:
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
