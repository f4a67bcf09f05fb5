"""How long runs are said to take."""

from __future__ import annotations

import pytest

from tasks.benchmark.devices import Devices
from tasks.benchmark.estimate import in_words, seconds_of, total_seconds
from tasks.benchmark.record import Attempt, write_record
from tests.tasks.benchmark.runs import make_run, write_metrics


def finish(run, *seconds):
    write_record(run, "mine", [Attempt("2026-01-01T00:00:00", s, 0) for s in seconds])
    write_metrics(run.work_dir)


def test_the_plan_tells_until_runs_of_that_config_have(tmp_path):
    runs = [make_run(tmp_path, name, minutes=2) for name in "abcd"]
    other = make_run(tmp_path, "other", config="other.py")
    assert seconds_of(runs[0], [*runs, other]) == 120
    assert seconds_of(other, [*runs, other]) is None
    for run, times in zip(runs, [(30,), (10, 30), (80,)], strict=False):
        finish(run, *times)
    assert seconds_of(runs[3], [*runs, other]) == 40


def test_together_they_fill_the_places(tmp_path):
    runs = [make_run(tmp_path, name, minutes=1, processes=2) for name in "abcd"]
    runs.append(make_run(tmp_path, "unknown", config="other.py"))
    assert total_seconds(runs, Devices()) == (240, 1)
    assert total_seconds(runs, Devices(jobs=2)) == (120, 1)
    assert total_seconds(runs, Devices([0, 1, 2, 3])) == (120, 1)
    finish(runs[0], 60)
    assert total_seconds(runs, Devices()) == (180, 1)


def test_no_shorter_than_runs_that_come_one_after_the_other(tmp_path):
    first = make_run(tmp_path, "first", minutes=2)
    second = make_run(tmp_path, "second", config="second.py", minutes=3, needs=(first,))
    assert total_seconds([first, second], Devices(jobs=4)) == (300, 0)
    finish(first, 120)
    assert total_seconds([first, second], Devices(jobs=4)) == (180, 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(40.4, "40 s"), (99, "99 s"), (130, "2 min"), (7500, "2 h 05 min")]
)
def test_in_words(seconds, words):
    assert in_words(seconds) == words
