"""Which run starts when, and what follows from how it ends."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tasks.benchmark.devices import Devices
from tasks.benchmark.record import read_record, write_record
from tasks.benchmark.scheduler import Scheduler, Status
from tests.tasks.benchmark.runs import Script, make_run, write_metrics, write_weights


def finish(scheduler, steps=100):
    for _ in range(steps):
        if not scheduler.busy:
            return {job.run.model: job.status for job in scheduler.jobs}
        scheduler.step()
    raise AssertionError("goes on for ever")


def test_one_after_the_other_with_a_record_of_each(tmp_path):
    runs, script = [make_run(tmp_path, name) for name in "ab"], Script(looks=3)
    statuses = finish(Scheduler(runs, "mine", Devices(), start=script))
    assert statuses == {"a": Status.DONE, "b": Status.DONE}
    assert (script.started, script.most) == (["a", "b"], 1)
    record = json.loads((tmp_path / "a/benchmark.json").read_text())
    assert record["command"] == runs[0].command
    assert (record["plan"], record["task"], record["norm"]) == ("mine", "classification", "SN")
    assert [attempt["exit_code"] for attempt in record["attempts"]] == [0]


def test_what_is_done_is_not_done_again(tmp_path):
    runs = [make_run(tmp_path, name) for name in "ab"]
    finish(Scheduler(runs, "mine", Devices(), start=Script()))
    again = Script()
    assert set(finish(Scheduler(runs, "mine", Devices(), start=again)).values()) == {Status.DONE}
    assert again.started == []


class Trainer(Script):
    """Trainings whose weights have a value, and what checkpoints they found at their start."""

    def __init__(self, value, codes=None):
        super().__init__(codes)
        self.value = value
        self.found = {}

    def __call__(self, run, command, environment):
        self.found[run.model] = [path.name for path in run.work_dir.glob("*.pth")]
        write_weights(run.work_dir / "epoch_1.pth", self.value, run=run.model)
        (run.work_dir / "last_checkpoint").write_text("epoch_1.pth")
        return super().__call__(run, command, environment)


@pytest.mark.parametrize("done", [(4, 4), (5, 4), (5, None)])
def test_what_is_not_at_its_end_goes_on(tmp_path, done):
    run, script = make_run(tmp_path), Script()
    write_record(run, "mine", [])
    write_metrics(run.work_dir, *done)
    finish(Scheduler([run], "mine", Devices(), start=script))
    assert script.started == ["a"]


@pytest.mark.parametrize("code", [0, 1])
def test_what_has_reached_its_end_is_done_and_gives_its_weights(tmp_path, code):
    """Whatever its processes end with after that, and also where nobody saw them end."""
    run = make_run(tmp_path)

    def start(run, command, environment):
        write_metrics(run.work_dir)
        (run.work_dir / "epoch_2.pth").touch()
        (run.work_dir / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
        return Script({"a": [code]}, writes=False)(run, command, environment)

    assert finish(Scheduler([run], "mine", Devices(), start=start)) == {"a": Status.DONE}
    weights = run.work_dir / "weights.pth"
    assert os.readlink(weights) == "epoch_2.pth"
    weights.unlink()
    assert finish(Scheduler([run], "mine", Devices(), start=start)) == {"a": Status.DONE}
    assert weights.is_file()


class TestWeightsThatAreMadeAgain:
    """Of three runs each starts from the one before."""

    @pytest.fixture
    def runs(self, tmp_path):
        runs = []
        for name in "abc":
            start = {"load_from": str(runs[-1].work_dir / "weights.pth")} if runs else {}
            runs.append(make_run(tmp_path, name, needs=runs[-1:], options=start))
        finish(Scheduler(runs, "mine", Devices(), start=Trainer(1)))
        return runs

    def test_have_what_started_from_them_done_anew(self, tmp_path, runs):
        shutil.rmtree(runs[0].work_dir)
        trainer = Trainer(2)
        scheduler = Scheduler(runs, "mine", Devices(), start=trainer)
        seen = []
        while scheduler.busy:
            seen += [(job.run.model, job.note) for job in scheduler.step() if job.training]
        assert trainer.started == ["a", "b", "c"]
        assert trainer.found == {"a": [], "b": [], "c": []}
        notes = dict(seen)
        weights = runs[0].work_dir / "weights.pth"
        assert notes["b"] == (
            f"anew: it started from other weights than {weights} holds now; what it had done is in "
            f"{tmp_path}/b-1"
        )
        assert (tmp_path / "c-1/epoch_1.pth").is_file()
        assert len(read_record(runs[1].work_dir).attempts) == 1
        assert [job.status for job in scheduler.jobs] == [Status.DONE] * 3

        again = Trainer(3)
        finish(Scheduler(runs, "mine", Devices(), start=again))
        assert again.started == []

    def test_let_it_be_where_they_are_the_same_again(self, tmp_path, runs):
        shutil.rmtree(runs[0].work_dir)
        trainer = Trainer(1)
        scheduler = Scheduler(runs, "mine", Devices(), start=trainer)
        assert set(finish(scheduler).values()) == {Status.DONE}
        assert trainer.started == ["a"]
        assert scheduler.jobs[2].note == "was done before"
        assert not (tmp_path / "b-1").exists()

    def test_have_what_was_interrupted_start_anew(self, tmp_path, runs):
        write_metrics(runs[2].work_dir, iterations=4)
        write_weights(runs[1].work_dir / "epoch_1.pth", 5)
        trainer = Trainer(1)
        finish(Scheduler(runs, "mine", Devices(), start=trainer))
        assert trainer.started == ["c"]
        assert trainer.found == {"c": []}
        assert (tmp_path / "c-1/epoch_1.pth").is_file()

    def test_are_waited_for(self, runs):
        shutil.rmtree(runs[0].work_dir)
        scheduler = Scheduler(runs, "mine", Devices(), retries=0, start=Trainer(2, {"a": [1]}))
        statuses = finish(scheduler)
        assert statuses == {"a": Status.FAILED, "b": Status.SKIPPED, "c": Status.SKIPPED}
        assert (runs[1].work_dir / "epoch_1.pth").is_file()


class TestFailures:
    def test_are_tried_again_up_to_a_limit(self, tmp_path):
        runs = [make_run(tmp_path, name) for name in "abc"]
        script = Script({"a": [1, 137], "b": [1, 1, 1, 1]})
        scheduler = Scheduler(runs, "mine", Devices(), retries=2, start=script)
        statuses = finish(scheduler)
        assert statuses == {"a": Status.DONE, "b": Status.FAILED, "c": Status.DONE}
        assert sorted(script.started) == list("aaabbbc")
        assert scheduler.jobs[1].note == "exit code 1, 3 times"
        record = read_record(runs[0].work_dir)
        assert [attempt.exit_code for attempt in record.attempts] == [1, 137, 0]

    def test_that_the_user_has_to_mend_are_not(self, tmp_path):
        script = Script({"a": [2]})
        scheduler = Scheduler([make_run(tmp_path)], "mine", Devices(), retries=5, start=script)
        assert finish(scheduler) == {"a": Status.FAILED}
        assert "needs a fix on your side; see its output" in scheduler.jobs[0].note

    def test_keep_those_that_need_them_from_starting(self, tmp_path):
        first = make_run(tmp_path, "a")
        second = make_run(tmp_path, "b", needs=[first])
        third = make_run(tmp_path, "c", needs=[second])
        script = Script({"a": [2]})
        scheduler = Scheduler([first, second, third], "mine", Devices(), start=script)
        statuses = finish(scheduler)
        assert statuses == {"a": Status.FAILED, "b": Status.SKIPPED, "c": Status.SKIPPED}
        assert scheduler.jobs[1].note == "needs a, SN, seed 0, which failed"
        assert script.started == ["a"]

    def test_to_write_metrics_are_failures(self, tmp_path):
        script = Script(writes=False)
        scheduler = Scheduler([make_run(tmp_path)], "mine", Devices(), retries=0, start=script)
        assert finish(scheduler) == {"a": Status.FAILED}
        assert "without metrics.json of its last iteration" in scheduler.jobs[0].note


class TestSideBySide:
    def test_on_gpus(self, tmp_path):
        runs = [make_run(tmp_path, name, processes=2) for name in "abc"]
        runs.append(make_run(tmp_path, "d", processes=1))
        script = Script(looks=4)
        finish(Scheduler(runs, "mine", Devices([0, 2, 5, 7]), start=script))
        assert script.most == 2
        places = [environment["CUDA_VISIBLE_DEVICES"] for environment in script.environments]
        assert places[:2] == ["0,2", "5,7"]
        assert len(places[3]) == 1

    def test_on_a_machine_without(self, tmp_path, monkeypatch):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        runs = [make_run(tmp_path, name, processes=2) for name in "abc"]
        script = Script(looks=4)
        finish(Scheduler(runs, "mine", Devices(jobs=2), start=script))
        assert script.most == 2
        assert all(int(e["OMP_NUM_THREADS"]) >= 1 for e in script.environments)

    def test_those_that_wait_for_weights_let_others_go_first(self, tmp_path):
        first = make_run(tmp_path, "a")
        runs = [first, make_run(tmp_path, "b", needs=[first]), make_run(tmp_path, "c")]
        script = Script(looks=3)
        finish(Scheduler(runs, "mine", Devices(jobs=3), start=script))
        assert script.started == ["a", "c", "b"]


def test_gpus_are_those_that_this_process_sees(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5e,7")
    script = Script()
    finish(Scheduler([make_run(tmp_path, processes=2)], "mine", Devices([1, 2]), start=script))
    assert script.environments == [{"CUDA_VISIBLE_DEVICES": "GPU-5e,7"}]


class TestStopping:
    def test_saves_what_runs_and_starts_nothing_more(self, tmp_path):
        runs, script = [make_run(tmp_path, name) for name in "ab"], Script(looks=50)
        scheduler = Scheduler(runs, "mine", Devices(), start=script)
        scheduler.step()
        scheduler.stop()
        assert finish(scheduler) == {"a": Status.INTERRUPTED, "b": Status.WAITING}

        again = Script()
        statuses = finish(Scheduler(runs, "mine", Devices(), start=again))
        assert set(statuses.values()) == {Status.DONE}
        assert [a.exit_code for a in read_record(runs[0].work_dir).attempts] == [75, 0]

    def test_a_run_that_others_have_asked_to_end_goes_on(self, tmp_path):
        script = Script({"a": [75]})
        scheduler = Scheduler([make_run(tmp_path)], "mine", Devices(), start=script)
        assert finish(scheduler) == {"a": Status.DONE}


@pytest.mark.parametrize(
    ("gpus", "jobs", "words"),
    [([3], 1, "--gpus names 3; .* here: none"), (None, 0, "--jobs is 0")],
)
def test_places_that_are_not_there(gpus, jobs, words, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ValueError, match=words):
        Devices.of_this_machine(gpus, jobs)
