"""tools/convert_faces.py, as a user calls it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "convert_faces.py"


@pytest.fixture
def convert(monkeypatch, capsys) -> Iterator[Callable[..., tuple[int, str, str]]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    yield run
    MMLogger._instance_dict.pop("convert_faces", None)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for name, size in (("ann", 112), ("bob", 150)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        image = np.full((size, size, 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / "faces" / name / "1.jpg"), image)
    return tmp_path / "faces"


def test_there_and_back(convert, faces: Path, tmp_path: Path) -> None:
    status, out, err = convert("to-rec", faces, tmp_path / "rec", "--size", 112)
    assert (status, err) == (0, "")
    assert out == f"written: {tmp_path}/rec, 2 images of 2 identities\n"
    status, out, _ = convert("to-folder", tmp_path / "rec" / "train.rec", tmp_path / "back")
    assert (status, out) == (0, f"written: {tmp_path}/back, 2 images of 2 identities\n")
    assert (tmp_path / "back/ann/1.jpg").read_bytes() == (faces / "ann/1.jpg").read_bytes()
    assert (tmp_path / "back/bob/2.jpg").is_file()


def test_mistakes(convert, faces: Path, tmp_path: Path) -> None:
    status, out, err = convert("to-rec", faces, tmp_path / "rec")
    assert (status, out) == (1, "")
    assert err.startswith(f"convert_faces: {faces}/bob/1.jpg is 150 x 150")
    assert not (tmp_path / "rec").exists()
    status, _, err = convert("to-rec", faces, faces, "--size", 112)
    assert (status, "exists" in err) == (1, True)
    status, _, err = convert("to-folder", tmp_path / "absent.rec", tmp_path / "back")
    assert (status, "absent.rec cannot be read" in err) == (1, True)
