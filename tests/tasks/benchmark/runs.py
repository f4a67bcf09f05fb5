"""Runs for tests, and trainings that end as a test says."""

from __future__ import annotations

import json

import torch

from tasks.benchmark import Run
from tasks.benchmark.record import Attempt


def make_run(folder, name="a", needs=(), **others):
    values = dict(
        task="classification", model=name, norm="SN", seed=0, config="c.py", options={"k": 1},
        processes=1, work_dir=folder / name, needs=tuple(needs),
    )  # fmt: skip
    return Run(**values | others)


def write_metrics(work_dir, iterations=5, evaluated=5):
    metrics = {"iterations": iterations, "max_iterations": 5, "evaluated_at": evaluated}
    (work_dir / "metrics.json").write_text(json.dumps(metrics))


def write_weights(path, value, **meta):
    """A checkpoint as trainings write it, whose tensor has a value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": meta, "state_dict": {"w": torch.full((3,), float(value))}}, path)


class Script:
    """Starts trainings that do nothing, and ends them with the exit codes of their runs.

    Args:
        codes: Exit codes by name of the run, for one start after the other; then 0.
        looks: How often one is looked at until it has ended.
        writes: Whether those that end well leave metrics.
    """

    def __init__(self, codes=None, looks=1, writes=True):
        self.writes = writes
        self.codes = {name: list(values) for name, values in (codes or {}).items()}
        self.looks = looks
        self.started = []
        self.environments = []
        self.running = 0
        self.most = 0

    def __call__(self, run, command, environment):
        self.started.append(run.model)
        self.environments.append(dict(environment))
        self.running += 1
        self.most = max(self.most, self.running)
        return Scripted(self, run)


class Scripted:
    progress = "iteration 1 of 5"
    seconds = 1.0

    def __init__(self, script, run):
        self.script, self.run, self.left = script, run, script.looks
        self.code = None

    def poll(self):
        self.left -= 1
        if self.left > 0 and self.code is None:
            return None
        self.script.running -= 1
        codes = self.script.codes.get(self.run.model)
        code = self.code if self.code is not None else codes.pop(0) if codes else 0
        if code == 0 and self.script.writes:
            write_metrics(self.run.work_dir)
        return Attempt("2026-01-01T00:00:00", 2.0, code)

    def stop(self):
        self.code = 75

    def kill(self):
        self.code = -9


class ScriptRun(Run):
    """A run that is a shell script, which its option `script` is."""

    @property
    def command(self):
        return ["bash", "-c", self.options["script"]]


def script_run(folder, script, name="a", load_from=None, **others):
    """A run that executes a script in its work directory."""
    options = {"script": f"cd {folder / name} || exit 9; {script}", "load_from": load_from}
    run = make_run(folder, name, options=options, **others)
    return ScriptRun(**vars(run))


METRICS = 'echo \'{"iterations": 5, "max_iterations": 5, "evaluated_at": 5}\' > metrics.json'
