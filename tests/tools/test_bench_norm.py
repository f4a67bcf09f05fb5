"""bench_norm.py: its tables and files, and what it says to bad arguments."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import running

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "tools" / "bench_norm.py"), "--device", "cpu"]
QUICK = ["--shapes", "2,32,4,4", "--layouts", "NCHW", "--rounds", "1", "--layers", "SN eager"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def run(*arguments):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=250
    )


def test_tables_and_files_hold_the_same_layers(tmp_path):
    pytest.importorskip("matplotlib")
    files = [tmp_path / name for name in ("a.json", "a.md", "a.png")]
    options = zip(("--json", "--markdown", "--plot"), map(str, files), strict=True)
    result = run(*QUICK, "--mode", "eval", *(part for option in options for part in option))
    assert result.returncode == 0, result.stderr
    assert "(2, 32, 4, 4) NCHW float32" in result.stdout
    assert "Call overhead: (2, 8, 4, 4)" in result.stdout
    data = json.loads(files[0].read_text())
    (comparison,) = data["comparisons"]
    assert comparison["case"]["mode"] == "eval"
    for layer in ("nn.BatchNorm", "SN reference", "SN eager"):
        assert layer in {row["layer"] for row in comparison["rows"]}
        assert f"\n{layer} " in result.stdout
        assert f"\n| {layer} |" in files[1].read_text()
    assert files[2].read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_resnet50_trains_with_each_norm(tmp_path):
    pytest.importorskip("torchvision")
    file = tmp_path / "a.json"
    size = ["--batch", "2", "--size", "32", "--rounds", "1", "--layouts", "NHWC"]
    result = run("--resnet50", "--norms", "SN eager", *size, "--json", str(file))
    assert result.returncode == 0, result.stderr
    (training,) = json.loads(file.read_text())["training"]
    assert [row["norm"] for row in training["rows"]] == ["nn.BatchNorm2d", "SN eager"]
    assert "images/s" in result.stdout


def test_a_run_that_is_stopped_writes_what_it_has(tmp_path):
    file = tmp_path / "a.json"
    shapes = ["--shapes", "1,8,2,2", "2,256,56,56", "--rounds", "3", "--layouts", "NCHW"]
    slow = [*shapes, "--layers", "SN reference", "--threads", *"1" * 200, "--json", str(file)]
    with running([*COMMAND, *slow], stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        for line in process.stdout:
            if line.startswith("SN reference"):
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(200) == 128 + signal.SIGTERM
    comparisons = json.loads(file.read_text())["comparisons"]
    assert comparisons
    assert comparisons[0]["case"]["shape"] == [1, 8, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shapes", "8,64,56"], "'8,64,56' is no shape; give N,C,H,W such as 8,256,56,56"),
        (["--shapes", "8,0,56,56"], "is no shape"),
        (["--layers", "LayerNorm"], "invalid choice: 'LayerNorm'"),
        (["--rounds", "0"], "'0' is no number from 1 on"),
        (["--device", "abacus"], "device 'abacus'"),
        (["--json", "no/such/folder/a.json"], "give a file in a folder that exists"),
        (["--resnet50", "--plot", "a.png"], "--plot draws layers"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message, monkeypatch, capsys):
    assert message in refusal([*arguments], monkeypatch, capsys)


def test_missing_matplotlib_is_said_before_measuring(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = [*QUICK, "--plot", str(tmp_path / "a.png")]
    assert "a plot needs matplotlib" in refusal(arguments, monkeypatch, capsys)


def refusal(arguments, monkeypatch, capsys):
    """What the command says on the way to exit status 2."""
    tool = runpy.run_path(COMMAND[1])
    monkeypatch.setattr(sys, "argv", [*COMMAND[1:], *arguments])
    with pytest.raises(SystemExit) as exit:
        tool["main"]()
    assert exit.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err
