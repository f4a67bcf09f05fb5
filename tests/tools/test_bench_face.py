"""tools/bench_face.py on small problems."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from tasks.face.speed import head

TOOL = Path(__file__).parents[2] / "tools" / "bench_face.py"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name="__main__")
    return end.value.code


def rows(out: str) -> list[list[str]]:
    return [
        line.strip().split("  ")
        for line in out.splitlines()
        if re.search(r" (\d+\.\d\d|-)$", line.strip())
    ]


def test_megaface(monkeypatch, capsys, tmp_path):
    options = ("--probes", 50, "--distractors", 400, "--dim", 64, "--folder", tmp_path)
    assert not run(monkeypatch, "megaface", *options)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0].startswith("50 probes x 400 distractors of 64 numbers, ")
    assert [line.split("  ")[0].strip() for line in lines[1:]] == [
        "matching",
        "bare products",
        "of their speed",
        "peak memory",
        "rank-1",
    ]
    for line in lines[1:3]:
        assert re.search(r"\d+\.\d s +\d+\.\d GFLOP/s$", line)
    assert list(tmp_path.iterdir()) == []


def test_loader(monkeypatch, capsys):
    options = ("--workers", 0, 1, "--images", 64, "--batch-size", 16, "--rounds", 1)
    assert not run(monkeypatch, "loader", *options)
    found = rows(capsys.readouterr().out)
    assert [row[0] for row in found] == ["0", "1"]
    assert all(float(row[-1]) > 0 for row in found)


@pytest.mark.slow
def test_head(monkeypatch, capsys):
    options = ("--classes", 2000, "--dim", 32, "--batch-size", 8, "--steps", 1, "--rounds", 1)
    assert not run(monkeypatch, "head", *options)
    found = rows(capsys.readouterr().out)
    assert [row[0] for row in found] == [
        "plain softmax",
        "PartialFC",
        "PartialFC, sample_rate=0.1",
        "PartialFC on 2 ranks",
    ]


def test_memory_too_small_to_see(monkeypatch, capsys):
    def measured(variants, *_, **__):
        return {variant: [head.Cost(0.5, 0)] for variant in variants}

    monkeypatch.setattr(head, "measure", measured)
    assert not run(monkeypatch, "head", "--device", "cpu", "--ranks", 1)
    assert [row[-1].strip() for row in rows(capsys.readouterr().out)] == ["-"] * 3


@pytest.mark.parametrize(("gpus", "ranks"), [(1, 1), (2, 2), (4, 2)])
def test_usual_ranks(monkeypatch, gpus, ranks):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert (head.usual_ranks("cuda"), head.usual_ranks("cpu")) == (ranks, 2)


def test_too_many_ranks(monkeypatch, capsys):
    assert run(monkeypatch, "head", "--device", "cpu", "--batch-size", 3, "--ranks", 4) == 2
    assert "error: 3 embeddings are too few for 4 ranks" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(head.HeadBenchError, match="2 ranks on 1 GPUs: every rank needs its own"):
        head.measure([head.Variant("", 1.0, 2)], 10, device="cuda")


def test_bad_arguments(monkeypatch, capsys):
    assert run(monkeypatch, "megaface", "--probes", 1) == 2
    assert "'1' is not a whole number from 2 on" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(monkeypatch, "head", "--device", "cuda") == 2
    assert "--device cuda: torch finds no GPU" in capsys.readouterr().err
