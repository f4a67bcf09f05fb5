"""The demo: small models of every task trained with every norm on generated data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
NORMS = ("BN", "GN", "SN", "SyncSN", "SSN")
# Synchronised and sparse norms start from the weights of plain SN, as in the papers.
_PRETRAINED = {"SyncSN": "SN", "SSN": "SN", "SyncSSN": "SN", "SyncBN": "BN"}
_ITERATION = re.compile(r"Iter\(train\)\s*\[\s*(\d+)/(\d+)\].*?\bloss: ([\d.naif]+)")
_EPOCH = re.compile(r"Epoch\(train\)\s*\[(\d+)\]\[\s*(\d+)/(\d+)\].*?\bloss: ([\d.naif]+)")


class DemoError(RuntimeError):
    """A run of the demo failed."""


@dataclass(frozen=True)
class Task:
    """Models that share data, metrics and a table.

    Attributes:
        title: Of the table.
        data: The generated data set, as `tools/make_toy_data.py` calls it.
        metrics: By column of the table: name of a metric and the factor that makes it per cent.
        configs: By model.
        pretrained: Whether the models start from the pretrained backbones; else from scratch.
        options: Of every training, beyond what the configs say.
        norm_options: Further ones of the trainings with a norm.
    """

    title: str
    data: str
    metrics: dict[str, tuple[str, float]]
    configs: dict[str, str]
    pretrained: bool = True
    options: tuple[str, ...] = ()
    norm_options: dict[str, tuple[str, ...]] = field(default_factory=dict)


CLASSIFICATION = Task(
    "Classification on generated data, 8 classes",
    "imagenet",
    {"top-1 (%)": ("accuracy/top1", 1)},
    {"ResNet-18": "configs/classification/toy/resnet18_toy.py"},
    pretrained=False,
)
DETECTION = Task(
    "Detection on generated data, from these backbones",
    "coco",
    {"box AP": ("coco/bbox_mAP", 100), "mask AP": ("coco/segm_mAP", 100)},
    {
        "Faster R-CNN": "configs/detection/toy/faster-rcnn_r18_fpn_toy.py",
        "Mask R-CNN": "configs/detection/toy/mask-rcnn_r18_fpn_toy.py",
    },
)
SEGMENTATION = Task(
    "Segmentation on generated data, from these backbones",
    "ade20k",
    {"mIoU": ("mIoU", 1)},
    {"DeepLab": "configs/segmentation/toy/deeplab_r18_toy-ade20k.py"},
)
FACE = Task(
    "Verification of generated faces, from scratch",
    "faces",
    {"accuracy (%)": ("toy/accuracy", 1)},
    {"IR-ResNet-18": "configs/face/toy/arcface_ir18_toy.py"},
    pretrained=False,
    options=("train_cfg.max_epochs=1", "train_cfg.val_interval=1"),
    norm_options={"GN": ("norm_cfg.num_groups=4",)},
)
VIDEO = Task(
    "Motion in generated videos, from these backbones inflated",
    "kinetics",
    {"top-1 (%)": ("accuracy/top1", 1)},
    {"I3D ResNet-18": "configs/video/toy/i3d_r18_toy.py"},
    options=("train_cfg.max_epochs=6", "train_cfg.val_interval=6"),
)
TASKS = (CLASSIFICATION, DETECTION, SEGMENTATION, FACE, VIDEO)
_SWITCHES = {"faces": "face_data"}


@dataclass(frozen=True)
class Run:
    """One training: a model and a norm, its config, and where its record goes."""

    task: Task
    model: str
    norm: str
    work_dir: Path
    options: tuple[str, ...] = ()

    def command(self, processes: int) -> list[str]:
        """The command line that a user would type for it."""
        return [
            "tools/dist_train.sh",
            self.task.configs[self.model],
            str(processes),
            *("--work-dir", str(self.work_dir)),
            *("--cfg-options", f"norm_cfg.type={self.norm}", *self.options),
        ]

    def record(self) -> dict:
        """What the training wrote down of itself."""
        return json.loads((self.work_dir / "metrics.json").read_text())

    def cells(self) -> list[str]:
        """What the record says for the columns of the task's table."""
        record = self.record()
        values = [(record["metrics"].get(key), scale) for key, scale in self.task.metrics.values()]
        seconds = record["seconds_per_iteration"]
        return [
            *("-" if value is None else f"{scale * value:.1f}" for value, scale in values),
            "-" if seconds is None else f"{seconds:.3f}",
            f"{record['peak_memory_mib']:.0f}",
        ]


def plan(
    out: Path, norms: tuple[str, ...] = NORMS, iterations: int | None = None
) -> tuple[list[Run], list[Run]]:
    """The pretrainings of backbones, and the trainings of the other tasks.

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

    def run(task: Task, model: str, norm: str, *options: str) -> Run:
        work_dir = out / f"{Path(task.configs[model]).stem}_{norm.lower()}"
        switch = _SWITCHES.get(task.data, f"{task.data}_data")
        data = f"{switch}.root={out / f'toy_{task.data}'}"
        own = (*task.norm_options.get(norm, ()), *(short or task.options))
        return Run(task, model, norm, work_dir, (data, *options, *own))

    pretrainings = {
        norm: run(CLASSIFICATION, "ResNet-18", norm)
        for norm in dict.fromkeys(_PRETRAINED.get(norm, norm) for norm in norms)
    }
    others = []
    for task in TASKS[1:]:
        for model in task.configs:
            for norm in norms:
                if not task.pretrained:
                    others.append(run(task, model, norm))
                    continue
                folder = pretrainings[_PRETRAINED.get(norm, norm)].work_dir
                weights = (
                    "model.backbone.init_cfg._delete_=True",
                    "model.backbone.init_cfg.type=Pretrained",
                    f"model.backbone.init_cfg.checkpoint={folder / 'pretrained.pth'}",
                    "model.backbone.init_cfg.prefix=backbone.",
                )
                others.append(run(task, model, norm, *weights))
    return list(pretrainings.values()), others


def run_demo(out: Path, norms: tuple[str, ...] = NORMS, iterations: int | None = None) -> None:
    """Make the data, pretrain a backbone, train the models of all tasks, and print the tables.

    Args:
        out: Folder for the data and the work directories.
        norms: Registry names of the norms.
        iterations: Iterations of each training; None for what the configs say.

    Raises:
        DemoError: A training failed; its log is named.
    """
    console = Console(soft_wrap=not sys.stdout.isatty())
    out = out.resolve()
    for task in TASKS:
        folder = str(out / f"toy_{task.data}")
        _call([sys.executable, "tools/make_toy_data.py", task.data, folder])
    gpus = torch.cuda.device_count()
    processes = min(2, gpus) if gpus else 2
    pretrainings, others = plan(out, norms, iterations)
    runs = [*pretrainings, *others]
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
        *results, seconds, _ = run.cells()
        figures = ", ".join(
            f"{name} {value}"
            for name, value in zip(run.task.metrics, results, strict=True)
            if value != "-"
        )
        console.print(
            f"{title}: {seconds} s/iteration, {figures} ({time.monotonic() - start:.0f} s so far)"
        )
    console.print()
    for task in TASKS:
        console.print(results_table(task, [run for run in runs if run.task is task]))
    console.print(
        "Generated data and a few dozen iterations: the tables show that every norm trains and "
        f"what it costs, not which is best.\nLogs, metrics and checkpoints: {out}"
    )


def results_table(task: Task, runs: list[Run]) -> Table:
    """The table of the finished runs of a task, read from their work directories."""
    table = Table(title=task.title)
    for name in ("model", "norm"):
        table.add_column(name)
    for name in (*task.metrics, "s/iteration", "peak memory (MiB)"):
        table.add_column(name, justify="right")
    for k, run in enumerate(runs):
        last = k + 1 < len(runs) and runs[k + 1].model != run.model
        table.add_row(run.model, run.norm, *run.cells(), end_section=last)
    return table


def _name_weights(run: Run) -> None:
    """Give the last checkpoint a name that does not depend on the number of epochs."""
    last = Path((run.work_dir / "last_checkpoint").read_text().strip())
    named = run.work_dir / "pretrained.pth"
    named.unlink(missing_ok=True)
    named.symlink_to(last.name)


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
