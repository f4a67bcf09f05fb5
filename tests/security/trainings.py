"""The ways in which a training reads a file of weights."""

from __future__ import annotations

from pathlib import Path

from normlib.openmmlab import commands

TINY = str(Path(__file__).parents[1] / "tiny" / "config.py")
TRAININGS = {
    "load_from": lambda path, work_dir: commands.train(
        TINY, str(work_dir), options={"load_from": str(path)}
    ),
    "resume": lambda path, work_dir: commands.train(TINY, str(work_dir), resume=str(path)),
    "pretrained": lambda path, work_dir: commands.train(
        TINY,
        str(work_dir),
        options={"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=str(path))},
    ),
}
