"""What work directories tell of their runs."""

from __future__ import annotations

import pytest

from tasks.benchmark.record import State, foreign_folders, state_of, write_record
from tests.tasks.benchmark.runs import make_run, write_metrics


def test_states(tmp_path):
    run = make_run(tmp_path)
    assert state_of(run) is State.NEW
    write_record(run, "mine", [])
    assert state_of(run) is State.BEGUN
    write_metrics(run.work_dir, iterations=4)
    assert state_of(run) is State.BEGUN
    write_metrics(run.work_dir)
    assert state_of(run) is State.DONE
    assert foreign_folders([run]) == []


def test_a_run_with_other_settings_is_named(tmp_path):
    write_record(make_run(tmp_path), "mine", [])
    now = make_run(tmp_path, options={"k": 2})
    assert state_of(now) is State.OTHER
    (line,) = foreign_folders([now])
    assert f"{tmp_path}/a holds a run with other settings: k=1 there, k=2 in the plan" in line
    assert "give another --out, or remove it" in line


def test_the_order_of_options_says_nothing(tmp_path):
    write_record(make_run(tmp_path, options={"k": 1, "l": 2}), "mine", [])
    assert state_of(make_run(tmp_path, options={"l": 2, "k": 1})) is State.BEGUN


@pytest.mark.parametrize("content", [None, "{", "[]", '{"command": 3}'])
def test_folders_of_others(tmp_path, content):
    run = make_run(tmp_path)
    run.work_dir.mkdir()
    (run.work_dir / "notes.txt").touch()
    if content is not None:
        (run.work_dir / "benchmark.json").write_text(content)
    assert "holds something else than this run" in foreign_folders([run])[0]
