"""tools/report.py, as a user calls it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tasks.report.work_dirs import write_metrics, write_run

TOOL = Path(__file__).parents[2] / "tools" / "report.py"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def report(tmp_path, monkeypatch, capsys) -> Callable[..., Done]:
    """Runs the command in `tmp_path`, in this process: libraries are not imported again."""

    def run(*arguments: object) -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name="__main__")
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def test_it_writes_both_files_and_prints_a_table(report, tmp_path):
    write_run(tmp_path / "runs", "detection", "SN", 0, 24.5)
    write_metrics(tmp_path / "runs" / "newer", format=3)
    done = report("runs")
    assert (done.status, done.err) == (0, "")
    for words in (
        "Detection",
        "24.50",
        "generated data",
        "skipped: newer: metrics.json has format",
    ):
        assert words in done.out
    assert done.out.endswith("written: runs/report.html, runs/report.md\n")
    assert "24.50" in (tmp_path / "runs" / "report.md").read_text()


def test_several_folders_go_to_another(report, tmp_path):
    for name in ("one", "two"):
        write_run(tmp_path / name, "detection", "SN", len(name), 24.5)
        write_run(tmp_path / name, "detection", name.upper(), 0, 24.5)
    assert report("one", "two", "--out", "both/report").status == 0
    names = sorted(path.name for path in (tmp_path / "both" / "report").iterdir())
    assert names == ["report.html", "report.md"]


@pytest.mark.parametrize(
    ("folder", "error"),
    [
        ("missing", "error: missing is not a folder; name work directories or one above them"),
        ("empty", "error: no run to report on in empty (no metrics.json below it)"),
    ],
)
def test_a_folder_without_runs_is_an_error(report, tmp_path, folder, error):
    (tmp_path / "empty").mkdir()
    done = report(folder)
    assert (done.status, done.out, done.err.strip()) == (2, "", error)
    assert not list(tmp_path.rglob("report.*"))
