"""tools/check_data.py on videos."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

TOOL = Path(__file__).parents[4] / "tools" / "check_data.py"

CONFIG = """
custom_imports = dict(
    imports=["tasks.video.datasets", "tasks.video.transforms", "tasks.video.data_config"]
)
config_rules = ["kinetics_data"]
default_scope = "mmengine"
kinetics_data = dict(root="{root}")
model = dict(head=dict(num_classes=400))
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type="VideoClassDataset",
        pipeline=[dict(type="OpenVideo"), dict(type="SampleFrames", clip_len=2)],
    ),
)
val_dataloader = train_dataloader
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys) -> Iterator[Callable[..., tuple[int, str]]]:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        return end.value.code, capsys.readouterr().out

    with DefaultScope.overwrite_default_scope("mmengine"):
        yield run
    # Later tests have a log of their own.
    MMLogger._instance_dict.pop("check_data", None)


def test_videos_that_cannot_be_read_are_counted(check, put, clip, tmp_path):
    names = [f"train/{name}/{number}.mp4" for name in ("jump", "run") for number in range(3)]
    put(*names, "val/jump/1.mp4", "val/run/1.mp4", broken=(names[1], names[5]))
    (tmp_path / names[3]).write_bytes(clip[: len(clip) // 2])
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(root=tmp_path))
    status, out = check(config, "--out", "out", "--workers", 2)
    train, val = out.strip().split("\n\n")
    assert status == 1
    assert train.startswith("train (VideoClassDataset): 6 samples\n")
    assert "size (width x height): 48 x 32; 3 cannot be read\n" in train
    assert f"- 2 times:\n    {tmp_path}/{names[1]} is empty" in train
    assert f"{tmp_path}/{names[5]} is empty" in train
    assert f"- once:\n    {tmp_path}/{names[3]} " in train
    assert "\n3 of 6 samples have problems\n" in train
    assert "\nall 2 samples can be used\n" in val
    problems = (tmp_path / "out/train_problems.txt").read_text()
    assert all(name in problems for name in (names[1], names[3], names[5]))
    assert (tmp_path / "out/train.png").stat().st_size > 0
    assert (tmp_path / "out/val_labels.csv").read_text().startswith("index,class,videos,")
