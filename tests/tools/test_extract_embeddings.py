"""tools/extract_embeddings.py, as a user calls it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope

import tasks.face.datasets
import tasks.face.transforms  # noqa: F401
from tasks.face.datasets.verification_bin import write_bin
from tasks.face.evaluation import EmbeddingFolder
from tasks.face.evaluation.alignment import TEMPLATE

TOOL = Path(__file__).parents[2] / "tools" / "extract_embeddings.py"
CONFIG = """\
default_scope = "mmengine"
custom_imports = dict(imports=["normlib.openmmlab"])
model = dict(type="MeanColour")
test_dataloader = dict(dataset=dict(type="VerificationDataset", bins=["lfw.bin"]))
test_cfg = dict()
test_evaluator = dict(type="FaceVerification")
"""
COLOURS = {"ann/b.png": (10, 20, 30), "ann/a.png": (200, 0, 0), "bob/c.png": (0, 99, 255)}


@MODELS.register_module(force=True)
class MeanColour(BaseModel):
    """Embeds an image as its mean colour, times a weight."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples, mode):
        assert mode == "predict"
        means = inputs.float().mean((2, 3)) * self.scale
        pairs = zip(means, data_samples, strict=True)
        return [{"embedding": mean, "index": index} for mean, index in pairs]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "config.py").write_text(CONFIG)
    torch.save({"state_dict": {"scale": torch.tensor([2.0])}}, tmp_path / "weights.pth")
    for name, colour in COLOURS.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((112, 112, 3), colour[::-1], np.uint8))
    return tmp_path


@pytest.fixture
def extract(folder, monkeypatch, capsys) -> Callable[..., Done]:
    """Runs the command in `folder`, in this process: libraries are not imported again."""

    def run(*arguments: object) -> Done:
        monkeypatch.chdir(folder)
        given = ["config.py", "weights.pth", "out", *arguments, "--workers", 0]
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, given)])
        with pytest.raises(SystemExit) as end, DefaultScope.overwrite_default_scope("mmengine"):
            runpy.run_path(str(TOOL), run_name="__main__")
        return Done(end.value.code, *capsys.readouterr())

    return run


def colours(folder):
    opened = EmbeddingFolder.open(folder / "out")
    return dict(zip(opened.names, (opened.embeddings / 2).tolist(), strict=True))


def test_a_folder_and_force(extract, folder):
    done = extract("--folder", "images", "--batch-size", 2)
    assert done.status == 0, done.err
    assert colours(folder) == {name: list(colour) for name, colour in COLOURS.items()}
    assert f"written: {folder / 'out'}\n" in done.out
    assert list(colours(folder)) == sorted(COLOURS)
    about = EmbeddingFolder.open(folder / "out").about
    assert (about["config"], about["checkpoint"]) == ("config.py", "weights.pth")
    assert (folder / "out_log" / "config.py").is_file()

    done = extract("--folder", "images/bob")
    assert done.status == 2
    assert done.err.endswith("out exists; give another path, or --force to replace it\n")
    assert extract("--folder", "images/bob", "--force").status == 0
    assert colours(folder) == {"c.png": [0, 99, 255]}


def test_a_list(extract, folder):
    (folder / "list.txt").write_text("bob/c.png\nann/a.png\n")
    done = extract("--list", "list.txt", "--root", "images")
    assert done.status == 0, done.err
    assert colours(folder) == {"bob/c.png": [0, 99, 255], "ann/a.png": [200, 0, 0]}


def test_a_verification_set(extract, folder):
    content = [(folder / "images" / name).read_bytes() for name in ("ann/b.png", "bob/c.png")]
    write_bin(folder / "pairs.bin", content, [False])
    assert extract("--bin", "pairs.bin").status == 0
    assert list(colours(folder).values()) == [[10, 20, 30], [0, 99, 255]]


def test_ijb_images(extract, folder):
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:212, 50:162] = (50, 60, 70)
    cv2.imwrite(str(folder / "images" / "1.png"), image)
    points = " ".join(f"{value:.4f}" for value in np.add(TEMPLATE, (50, 100)).ravel())
    (folder / "ijbb_name_5pts_score.txt").write_text(f"1.png {points} 0.9\n")
    done = extract("--ijb", ".", "--images", "images")
    assert done.status == 0, done.err
    assert colours(folder)["1.png"] == pytest.approx([70, 60, 50], abs=0.5)


def test_an_image_of_another_size_leaves_nothing(extract, folder):
    cv2.imwrite(str(folder / "images" / "bob" / "d.png"), np.zeros((60, 50, 3), np.uint8))
    done = extract("--folder", "images")
    assert done.status == 2
    assert "images/bob/d.png is 50 x 60" in done.err
    assert not (folder / "out").exists()


def test_mistakes_on_the_command_line(extract):
    for arguments, error in (
        ((), "one of the arguments --folder --list --rec --bin --ijb is required"),
        (("--folder", "a", "--bin", "b"), "not allowed with"),
        (("--folder", "a", "--root", "b"), "--root goes with --list"),
        (("--ijb", "a"), "--ijb META_DIR and --images DIR go together"),
        (("--folder", "a", "--target", "IJBB"), "--target goes with --ijb"),
        (("--folder", "a", "--batch-size", "0"), "'0' is not a whole number from 1 on"),
    ):
        done = extract(*arguments)
        assert done.status == 2
        assert error in done.err
