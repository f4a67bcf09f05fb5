"""tools/test_ijb.py, as a user calls it."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "test_ijb.py"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Templates 1 and 2 of one person, 3 and 4 of two others, one image each."""
    landmarks = " ".join(["1"] * 10)
    lines = {
        "name_5pts_score": [f"{n}.jpg {landmarks} 0.9" for n in (1, 2, 3, 4)],
        "face_tid_mid": [f"{n}.jpg {n} 0" for n in (1, 2, 3, 4)],
        "template_pair_label": ["1 2 1", "1 3 0", "2 3 0", "1 4 0", "2 4 0"],
    }
    (tmp_path / "meta").mkdir()
    for kind, text in lines.items():
        (tmp_path / "meta" / f"ijbb_{kind}.txt").write_text("\n".join(text) + "\n")
    (tmp_path / "made").mkdir()
    embeddings = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    np.save(tmp_path / "made" / "embeddings.npy", embeddings)
    (tmp_path / "made" / "names.txt").write_text("1.jpg\n2.jpg\n3.jpg\n4.jpg\n")
    (tmp_path / "made" / "about.json").write_text('{"config": "c.py"}')
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs the command in `folder`, in this process: libraries are not imported again."""

    def call(*arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [str(TOOL), *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    return call


def test_table_and_files(run, folder):
    status, out, err = run("meta", "made", "--target", "IJBB", "--out", "results")
    assert status == 0, err
    assert "IJBB 1:1, 4 templates of 4 images; 1 genuine and 4 impostor pairs" in out
    assert "1e-06   too few impostor pairs" in out
    assert out.endswith("written: results/results.json, results/roc.png\n")
    content = json.loads((folder / "results" / "results.json").read_text())
    assert (content["target"], content["impostor_pairs"]) == ("IJBB", 4)
    assert content["about"] == {"config": "c.py"}
    assert content["detector_score"] is True
    assert set(content["metrics"].values()) == {None}
    assert (folder / "results" / "roc.png").stat().st_size > 1000


def test_without_files_and_without_the_target(run, folder):
    before = sorted(folder.rglob("*"))
    status, out, err = run("meta", "made", "--no-detector-score")
    assert status == 0, err
    assert out.startswith("IJBB 1:1")
    assert sorted(folder.rglob("*")) == before


def test_mistakes(run, folder):
    status, _, err = run("meta", "nowhere")
    assert (status, err.count("\n")) == (2, 1)
    assert "nowhere is not a folder; tools/extract_embeddings.py writes such a folder" in err
    status, _, err = run("meta", "made", "--target", "IJBC")
    assert status == 2
    assert "ijbc_name_5pts_score.txt does not exist" in err
    (folder / "file").write_text("")
    status, _, err = run("meta", "made", "--out", "file/results")
    assert status == 2
    assert "--out file/results cannot be written" in err
