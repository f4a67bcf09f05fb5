"""tools/bench_video.py on a few short videos."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

import normlib.openmmlab  # noqa: F401  serves the operators that mmdet imports
from tasks.video.decoding import open_video
from tasks.video.speed.bare_decoding import decode_clip
from tests.tasks.video.decoding.movies import movie
from tests.tasks.video.videos import write_video

TOOL = Path(__file__).parents[2] / "tools" / "bench_video.py"
CONFIG = """
pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=4, frame_interval=2),
    dict(type="DecodeFrames"),
    dict(type="PackClips"),
]
custom_imports = dict(imports=["tasks.video"])
train_dataloader = dict(
    batch_size=2,
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="VideoClassDataset", data_root="{root}", pipeline=pipeline),
)
"""


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name="__main__")
    return end.value.code


@pytest.fixture
def config(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        write_video(tmp_path / "data" / name / "v.mp4", movie(20), gop=5)
    path = tmp_path / "config.py"
    path.write_text(CONFIG.replace("{root}", str(tmp_path / "data")))
    return path


def test_table(monkeypatch, capsys, config):
    assert not run(monkeypatch, config, "--videos", 3, "--rounds", 2, "--workers", 0, 1)
    rows = re.findall(r"^ +(\d) " + r" +([\d.]+)" * 4 + " *$", capsys.readouterr().out, re.M)
    assert [row[0] for row in rows] == ["0", "1"]
    assert all(float(row[-2]) >= float(row[-1]) > 0 for row in rows)


def test_no_clips(monkeypatch, capsys, config):
    options = ("train_dataloader.dataset.pipeline=[]",)
    assert run(monkeypatch, config, "--workers", 0, "--cfg-options", *options)
    assert "the pipeline draws no clip of a video file" in capsys.readouterr().err


def test_bad_arguments(monkeypatch, capsys, config):
    assert run(monkeypatch, config, "--videos", 0) == 2
    assert "'0' is not a whole number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_bare_loop_decodes_the_same(tmp_path, name):
    path = str(tmp_path / name)
    write_video(path, movie(40), gop=7)
    asked = [11, 13, 15, 30]
    with open_video(path) as video:
        right, seconds = video.read(asked), video.times[asked]
    assert np.array_equal(decode_clip(path, seconds, VideoReformatter()), right)
