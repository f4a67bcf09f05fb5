"""The name under which the last checkpoint of a run is found."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tasks.benchmark.weights import WEIGHTS, name_weights


def test_the_last_checkpoint_is_named(tmp_path):
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (tmp_path / "last_checkpoint").write_text(f"/elsewhere/{name}\n")
        name_weights(tmp_path)
        assert os.readlink(tmp_path / WEIGHTS) == name


def test_without_a_checkpoint_there_is_nothing_to_name(tmp_path):
    name_weights(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_may_name_it_at_once(tmp_path):
    """As the tasks of a job array do with what they all need."""
    (tmp_path / "last_checkpoint").write_text("epoch_1.pth")
    together = Barrier(8)

    def name(_):
        together.wait(60)
        name_weights(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(40):
            (tmp_path / WEIGHTS).unlink(missing_ok=True)
            list(pool.map(name, range(8)))
            assert os.readlink(tmp_path / WEIGHTS) == "epoch_1.pth"
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, "last_checkpoint"}
