"""tools/speed.py: its table and file, and how it ends."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from normlib import harden
from normlib.openmmlab.launch import load_config

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "speed.py"
CONFIG = str(ROOT / "configs" / "face" / "toy" / "arcface_ir18_toy.py")
SIZE = ("--size", "112", "112")
QUICK = ("--rounds", "1", "--batch-sizes", "1", *SIZE)


def exit_code(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name="__main__")
    return end.value.code


@pytest.mark.slow
def test_table_and_file(tmp_path):
    model = MODELS.build(load_config(CONFIG, needs_data=False).model)
    harden(model)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "faces.pth")
    options = ("--norms", "SN", "BN", "hard", "--threads", "1", "--out", "speed.json")
    command = [sys.executable, str(TOOL), CONFIG, "faces.pth", *QUICK, *options]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^\| (\S+) +\| +1 \| +[\d.]+ \|.*\| (.+?) *\|$", run.stdout, re.M)
    assert rows == [("BN", "31 BN"), ("SN", "31 soft"), ("hard", "30 hard in, 1 hard ln")]
    data = json.loads((tmp_path / "speed.json").read_text())
    assert [row["variant"] for row in data["rows"]] == ["BN", "SN", "hard"]
    assert (data["learned"], data["threads"]) == (True, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CONFIG, "absent.pth", *QUICK), "absent.pth does not exist"),
        ((CONFIG, *QUICK, "--rounds", "0"), "--rounds is 0; it must be 1 or more"),
        ((CONFIG, *QUICK, "--norms", "XN"), "--norms XN: variants are BN, BN-folded"),
        ((CONFIG, "--rounds", "1"), "names no image size; give --size H W"),
        (("absent.py",), "config absent.py does not exist"),
        ((CONFIG, "--out", "no/such/folder/a.json"), "give a file in a folder that exists"),
        ((CONFIG, "--amp", "int8"), "invalid choice: 'int8'"),
    ],
)
def test_mistakes_end_with_2(arguments, message, monkeypatch, capsys):
    assert exit_code(monkeypatch, *arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert "| BN" not in output.out


def test_help_explains_the_variants(monkeypatch, capsys):
    assert exit_code(monkeypatch, "--help") == 0
    assert "  hard-folded: hard; layers on batch statistics" in capsys.readouterr().out
