"""tools/check_data.py, as a user calls it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

from tasks.toy_data import coco, imagenet

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "check_data.py"
DETECTION = ROOT / "configs" / "detection" / "toy" / "mask-rcnn_r18_fpn_toy.py"
CLASSIFICATION = ROOT / "configs" / "classification" / "toy" / "resnet18_toy.py"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def check(tmp_path, monkeypatch, capsys) -> Iterator[Callable[..., Done]]:
    """Runs the command in `tmp_path`, in this process: libraries are not imported again."""

    def run(*arguments: object) -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        return Done(end.value.code, *capsys.readouterr())

    with DefaultScope.overwrite_default_scope("mmdet"):
        yield run
    # Later tests have a log of their own.
    MMLogger._instance_dict.pop("check_data", None)


@pytest.fixture
def toy_coco(tmp_path: Path) -> Path:
    folder = tmp_path / "coco"
    folder.mkdir()
    coco.generate(folder, coco.CocoToy(train=7, val=4, size=64))
    return folder


def test_broken_files_and_sound_splits(check, toy_coco: Path, tmp_path: Path) -> None:
    cut, other = toy_coco / "train" / "000001.jpg", toy_coco / "train" / "000002.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    Image.new("RGB", (10, 20)).save(other)
    options = ("--cfg-options", f"coco_data.root={toy_coco}")
    done = check(DETECTION, "--workers", 2, *options)
    assert done.status == 1, done.err
    train, val = done.out.strip().split("\n\n")
    # The sixth picture has no object and is left out in training.
    assert train.startswith("train (CheckedCocoDataset): 6 samples\n")
    assert f"- once:\n    {cut} is cut off" in train
    assert f"- once:\n    {other} is 10 x 20, annotated as " in train
    assert "\n2 of 6 samples have problems\n" in train
    assert val.startswith("val, test (CheckedCocoDataset): 4 samples\n")
    assert "\nall 4 samples can be used\n" in val
    written = {
        path.name for path in (tmp_path / f"work_dirs/{DETECTION.stem}/data_check").iterdir()
    }
    assert written == {
        "train.png",
        "train_labels.csv",
        "train_problems.txt",
        "val.png",
        "val_labels.csv",
    }


def test_a_split_that_cannot_be_loaded_leaves_the_others(
    check, toy_coco: Path, tmp_path: Path
) -> None:
    (toy_coco / "train" / "000003.jpg").unlink()
    options = ("--cfg-options", f"coco_data.root={toy_coco}")
    done = check(DETECTION, "--out", "out", "--workers", 0, *options)
    assert done.status == 1, done.err
    train, val = done.out.strip().split("\n\n")
    assert train.startswith("train: ")
    assert "1 of 7 image files are missing" in train
    assert "'000003.jpg'" in train
    assert "all 4 samples can be used" in val
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"val.png", "val_labels.csv"}


def test_chosen_samples_of_a_classification_config(check, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    imagenet.generate(folder, imagenet.ImageNetToy(train=2, val=1, size=16))
    arguments = ("--splits", "train", "--limit", 4, "--pictures", 0, "--out", "out")
    options = ("--cfg-options", f"imagenet_data.root={folder}")
    done = check(CLASSIFICATION, *arguments, *options)
    assert done.status == 0, done.err
    assert done.out.startswith("train (ImageClassDataset): 16 samples, 4 of them looked at\n")
    assert "all 4 looked-at samples can be used\n" in done.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train_labels.csv"]


def test_mistakes_of_the_user(check, toy_coco: Path, tmp_path: Path) -> None:
    absent = check("absent.py")
    assert absent.status == 2
    assert absent.err.splitlines()[-1].startswith("error: config absent.py does not exist")
    assert absent.out == ""

    (tmp_path / "file").touch()
    config = tmp_path / "plain.py"
    config.write_text(
        "custom_imports = dict(imports=['normlib.openmmlab', 'mmdet.datasets'])\n"
        "default_scope = 'mmdet'\n"
        "val_dataloader = dict(dataset=dict(type='CocoDataset', data_prefix=dict(img='val/'),\n"
        f"    data_root='{toy_coco}', ann_file='annotations/instances_val.json'))\n"
    )
    taken = check(config, "--out", "file")
    assert taken.status == 2
    assert taken.err.splitlines()[-1].startswith("error: --out file cannot be made")
    plain = check(config)
    assert plain.status == 1
    assert "type CocoDataset (mmdet.datasets.coco) cannot be looked through" in plain.out


@pytest.mark.slow
def test_as_a_script(toy_coco: Path, tmp_path: Path) -> None:
    (toy_coco / "val" / "000001.jpg").write_bytes(b"")
    options = ("--splits", "val", "--cfg-options", f"coco_data.root={toy_coco}")
    done = subprocess.run(
        [sys.executable, TOOL, DETECTION, *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("val (CheckedCocoDataset): 4 samples\n")
    assert "1 of 4 samples have problems\n" in done.stdout
    assert "Traceback" not in done.stderr
