"""What work directories tell of their runs."""

from __future__ import annotations

import json

import pytest

from tasks.benchmark.record import (
    RECORD,
    State,
    foreign_folders,
    put_aside,
    read_record,
    state_of,
    why_outdated,
    write_record,
)
from tests.tasks.benchmark.runs import make_run, write_metrics, write_weights


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
    assert "contains files that are not from this run" in foreign_folders([run])[0]


class TestWeights:
    """Of a run that starts from those of another, which is done."""

    @pytest.fixture
    def weights(self, tmp_path):
        path = tmp_path / "a/weights.pth"
        write_weights(path, 1, time="first")
        return path

    @pytest.fixture
    def run(self, tmp_path, weights):
        source = make_run(tmp_path, "a")
        write_record(source, "mine", [])
        write_metrics(source.work_dir)
        run = make_run(tmp_path, "b", needs=[source], options={"load_from": str(weights)})
        write_record(run, "mine", [])
        write_metrics(run.work_dir)
        return run

    def test_are_recorded_once(self, run, weights):
        first = read_record(run.work_dir).weights
        assert list(first) == ["load_from"]
        write_weights(weights, 2)
        write_record(run, "mine", [])
        assert read_record(run.work_dir).weights == first
        assert read_record(run.needs[0].work_dir).weights == {}

    @pytest.mark.parametrize("iterations", [4, 5])
    def test_that_have_changed_make_it_outdated(self, run, weights, iterations):
        write_metrics(run.work_dir, iterations=iterations)
        assert why_outdated(run) is None
        write_weights(weights, 2)
        assert state_of(run) is State.OUTDATED
        assert why_outdated(run) == f"it started from other weights than {weights} holds now"
        assert foreign_folders([run]) == []

    def test_that_are_the_same_again_do_not(self, run, weights):
        before = weights.read_bytes()
        write_weights(weights, 1, time="later, and longer")
        assert weights.read_bytes() != before
        assert state_of(run) is State.DONE

    def test_that_are_to_be_made_again_do(self, run):
        write_metrics(run.needs[0].work_dir, iterations=4)
        assert state_of(run) is State.OUTDATED
        assert "a, SN, seed 0, which has to be trained again" in why_outdated(run)

    def test_that_nothing_is_known_of_do_not(self, run, weights):
        """Removed to make room; or of a run whose record is older than this field."""
        weights.unlink()
        assert state_of(run) is State.DONE
        record = json.loads((run.work_dir / RECORD).read_text())
        del record["weights"]
        (run.work_dir / RECORD).write_text(json.dumps(record))
        write_weights(weights, 2)
        assert state_of(run) is State.DONE
        write_record(run, "mine", [])
        assert read_record(run.work_dir).weights is None

    def test_in_another_format_are_not_told_apart(self, run, weights):
        (run.work_dir / RECORD).unlink()
        weights.write_bytes(b"no archive")
        write_record(run, "mine", [])
        assert read_record(run.work_dir).weights == {}


def test_what_is_put_aside_is_kept(tmp_path):
    run = make_run(tmp_path)
    for number in (1, 2):
        write_record(run, f"plan {number}", [])
        assert put_aside(run) == tmp_path / f"a-{number}"
        assert state_of(run) is State.NEW
    assert json.loads((tmp_path / "a-1" / RECORD).read_text())["plan"] == "plan 1"
