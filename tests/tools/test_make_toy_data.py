from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "tools/make_toy_data.py", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_coco(tmp_path: Path) -> None:
    out = tmp_path / "toy"
    options = ("--train", 3, "--val", 2, "--size", 64, "--seed", 5)
    made = _run("coco", out, *options)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"made {out}: 3 training and 2 validation pictures\n"
    assert len(list((out / "train").iterdir())) == 3

    again = _run("coco", out, *options)
    assert again.returncode == 0
    assert "is there already" in again.stdout

    other = _run("coco", out, "--size", 96)
    assert other.returncode == 1
    assert other.stdout == ""
    assert other.stderr.startswith(f"make_toy_data: {out} holds a toy set of other parameters")
    assert _run("coco", out, "--train", 1, "--val", 1, "--force").returncode == 0
    assert len(list((out / "train").iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "pictures"),
    [("ade20k", "images/training/*.jpg"), ("cityscapes", "leftImg8bit/train/*/*.png")],
)
def test_segmentation_sets(tmp_path: Path, name: str, pictures: str) -> None:
    out = tmp_path / "toy"
    made = _run(name, out, "--train", 3, "--val", 2, "--size", 64, "--seed", 5)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"made {out}: 3 training and 2 validation pictures\n"
    assert len(list(out.glob(pictures))) == 3


def test_faces(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main = runpy.run_path(str(ROOT / "tools" / "make_toy_data.py"))["main"]
    out = tmp_path / "toy"
    options = ["--train", "3", "--val", "2", "--images", "5", "--pairs", "20", "--seed", "5"]
    assert main(["faces", str(out), *options]) == 0
    assert capsys.readouterr().out == f"made {out}: 15 training and 10 validation pictures\n"
    assert (out / "property").read_text() == "3,112,112\n"

    assert main(["faces", str(out), *options, "--pairs", "400", "--force"]) == 1
    assert "(images) have 20 such pairs" in capsys.readouterr().err
    assert (out / "toy.bin").is_file()


def test_kinetics(tmp_path: Path) -> None:
    out = tmp_path / "toy"
    options = ("--train", 2, "--val", 1, "--size", 32, "--frames", 4)
    made = _run("kinetics", out, *options)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"made {out}: 16 training and 8 validation videos\n"
    assert len(list(out.glob("train/*/*.mp4"))) == 16
    assert len((out / "annotations" / "val.csv").read_text().splitlines()) == 9

    again = _run("kinetics", out, *options)
    assert again.stdout == made.stdout.replace("made", "is there already, unchanged:", 1)


def test_wrong_arguments(tmp_path: Path) -> None:
    wrong = _run("coco", tmp_path / "toy", "--train", 0)
    assert wrong.returncode == 1
    assert wrong.stderr == "make_toy_data: train is 0; it must be at least 1\n"
    assert list(tmp_path.iterdir()) == []
