"""Two processes that go on together, each with files of its own beside the checkpoint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest import mock

import pytest

from tests.interruption import train

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
OPTIONS = {
    "train_dataloader.dataset.size": 16,
    "default_hooks.metrics": dict(type="MetricsFileHook"),
    # A figure that never gets better.
    "default_hooks.checkpoint": dict(type="CheckpointHook", save_best="count", rule="greater"),
}


def work_dir(folder, rank):
    """Of a rank, on a disk of its machine."""
    return Path(folder, f"machine{rank}", "run")


def one_rank(rank, folder, epochs):
    """Train, and say how often it was validated."""
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        options = OPTIONS | {"train_cfg.max_epochs": epochs}
        runner = train(TINY, work_dir(folder, rank), options, launcher="pytorch")
    return len(runner.message_hub.get_scalar("val/accuracy").data[0])


@pytest.fixture
def trained(rank_pool, tmp_path):
    """The folder of machines that have trained an epoch, and have its checkpoint."""
    assert rank_pool(2).run(one_rank, str(tmp_path), 1) == [1, 1]
    shutil.copy(work_dir(tmp_path, 0) / "epoch_1.pth", work_dir(tmp_path, 1))
    return tmp_path


@pytest.mark.parametrize("left", [0, None], ids=["as it was", "removed"])
def test_validate_where_the_first_has_not(left, trained, rank_pool):
    """Its metrics.json tells of the validation, or not; the second has none."""
    if left is None:
        (work_dir(trained, 0) / "metrics.json").unlink()
    assert not (work_dir(trained, 1) / "metrics.json").exists()
    expected = 2 if left is not None else 3
    assert rank_pool(2).run(one_rank, str(trained), 2) == [expected, expected]


def test_save_together(trained, rank_pool):
    """To the second, the best checkpoint is one of another work directory."""
    rank_pool(2).run(one_rank, str(trained), 2)
    names = sorted(path.name for path in work_dir(trained, 0).glob("best_*"))
    assert names == ["best_count_epoch_1.pth"]
