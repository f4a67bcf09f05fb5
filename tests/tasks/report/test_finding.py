"""Which work directories take part, and what is said of those that do not."""

from __future__ import annotations

import json
import os

import pytest

from tasks.report import ReportError
from tasks.report.finding import find_records
from tests.tasks.report.work_dirs import write_benchmark, write_metrics, write_run


def found(*folders):
    result = find_records(folders)
    return [record.where for record in result.records], result.skipped


def test_work_directories_are_found_at_any_depth(tmp_path):
    for name in ("one", "deep/er/two"):
        write_metrics(tmp_path / name, run_seed=len(name))
    assert found(tmp_path) == (["deep/er/two", "one"], [])
    assert found(tmp_path / "one") == (["one"], [])


def test_folders_in_each_other_count_once(tmp_path):
    write_metrics(tmp_path / "runs" / "one")
    assert found(tmp_path, tmp_path / "runs", tmp_path / "runs" / "one") == (["runs/one"], [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": 2, "run": {"config', "not whole JSON: half written"),
        ("", "not whole JSON"),
        ("[" * 100_000, "not whole JSON"),
        ("[1, 2]", "holds list, not an object: foreign"),
        ('{"bbox_mAP": 0.1}', "no 'format': foreign"),
        (
            '{"metrics": {}, "iterations": 1, "versions": {}}',
            "is from an older version of the project",
        ),
        ('{"format": 3}', "format 3, of a newer version; 2 is read"),
        ('{"format": "two"}', "format 'two'; 2 is read"),
        ('{"format": 2}', "has no 'run': half written or foreign"),
    ],
)
def test_a_file_that_cannot_be_read_is_skipped_with_a_reason(tmp_path, text, reason):
    write_metrics(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "metrics.json").write_text(text)
    names, (line,) = found(tmp_path)
    assert names == ["good"]
    assert line.startswith("bad: metrics.json")
    assert reason in line


@pytest.mark.parametrize("change", [{"metrics": []}, {"ranks": "2"}, {"iterations": True}])
def test_a_value_of_a_wrong_kind_is_named(tmp_path, change):
    write_metrics(tmp_path / "good")
    write_metrics(tmp_path / "bad", **change)
    _, (line,) = found(tmp_path)
    (key,) = change
    assert f"metrics.json: '{key}' is {change[key]!r}" in line


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    write_metrics(tmp_path / "good")
    write_metrics(tmp_path / "bad", seconds_per_iteration=float("inf"))
    assert "'seconds_per_iteration' is inf" in found(tmp_path)[1][0]


@pytest.mark.parametrize("attempts", [[{"exit_code": 2}], [{"exit_code": 0}, {"exit_code": 2}]])
def test_a_run_without_an_evaluation_is_named(tmp_path, attempts):
    write_metrics(tmp_path / "good")
    write_benchmark(tmp_path / "failed", attempts=attempts)
    (tmp_path / "started" / "20261128_120000").mkdir(parents=True)
    first, second = found(tmp_path)[1]
    assert first == (
        "failed: no metrics.json: nothing has been evaluated; the last attempt ended with exit "
        "code 2"
    )
    assert second == "started: no metrics.json: nothing has been evaluated"


@pytest.mark.parametrize("change", [{"format": 9}, {"attempts": "none"}, {"attempts": [3]}])
def test_a_strange_benchmark_file(tmp_path, change):
    write_metrics(tmp_path / "good")
    write_benchmark(tmp_path / "strange", **change)
    assert found(tmp_path)[1][0].startswith("strange: ")


def test_a_run_whose_task_is_open_is_skipped(tmp_path):
    write_metrics(tmp_path / "known", run_config="/elsewhere/my_detector.py")
    write_metrics(
        tmp_path / "open", run_config="/elsewhere/my_net.py", metrics={"accuracy/top1": 50.0}
    )
    names, (line,) = found(tmp_path)
    assert names == ["known"]
    assert "the task cannot be told from the config '/elsewhere/my_net.py'" in line


def test_own_sets_of_faces_tell_the_task(tmp_path):
    write_metrics(tmp_path, run_config="/elsewhere/my_net.py", metrics={"orl/accuracy": 91.0})
    assert [record.task for record in find_records([tmp_path]).records] == ["face"]


def test_of_the_same_run_a_complete_one_counts_else_the_newest(tmp_path):
    for age, (name, changes) in enumerate(
        {"new": {"iterations": 20}, "old": {}, "older": {}}.items()
    ):
        path = write_metrics(tmp_path / name, **changes) / "metrics.json"
        os.utime(path, (1e9 - age, 1e9 - age))
    names, lines = found(tmp_path)
    assert names == ["old"]
    assert lines == [f"{name}: the same run as old, which counts" for name in ("new", "older")]


def test_paths_alone_do_not_make_another_run(tmp_path):
    for place in ("a", "b"):
        options = [f"coco_data.root=/data/{place}", f"work_dir={place}"]
        write_metrics(tmp_path / place, run_options=options)
    assert len(found(tmp_path)[0]) == 1


def test_a_run_that_was_never_evaluated_is_the_same_as_one_that_was(tmp_path):
    write_metrics(tmp_path / "old")
    write_metrics(tmp_path / "new", evaluated_samples=None, evaluated_at=None, metrics={})
    assert found(tmp_path) == (["old"], ["new: the same run as old, which counts"])


def test_what_was_evaluated_makes_another_run(tmp_path):
    for name, samples in (("some", 10), ("all", 40)):
        write_metrics(tmp_path / name, evaluated_samples=samples)
    assert found(tmp_path) == (["all", "some"], [])


def evaluation(folder, **metrics):
    nothing = dict.fromkeys(("iterations", "max_iterations", "evaluated_at"))
    return write_metrics(folder, metrics=metrics, **nothing)


def test_an_evaluation_beside_its_training_gives_it_the_augmented_figures(tmp_path):
    config = "configs/segmentation/toy/deeplab_r18_toy-ade20k.py"
    for name, tested in (("same", 30.0), ("other", 31.0)):
        run = write_run(tmp_path / name, "segmentation", "SN", len(name), 30.0, config)
        evaluation(run / "test", **{"mIoU": tested, "tta/mIoU": 33.0})
    records = {record.seed: record for record in find_records([tmp_path]).records}
    assert len(records) == 2
    assert records[4].metrics == {"mIoU": 30.0, "tta/mIoU": 33.0}
    assert records[5].metrics == {"mIoU": 30.0}  # of another checkpoint


def test_an_evaluation_without_a_training_is_a_run(tmp_path):
    evaluation(tmp_path / "zoo" / "test", **{"coco/bbox_mAP": 0.3})
    (record,) = find_records([tmp_path]).records
    assert record.state == "evaluation"


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(ReportError, match="missing is not a folder; name work directories"):
        find_records([tmp_path / "missing"])
    with pytest.raises(ReportError, match=r"no run to report on in .* \(no metrics.json below it"):
        find_records([tmp_path])
    (tmp_path / "metrics.json").write_text(json.dumps([]))
    with pytest.raises(ReportError, match=r"(?s)no run to report on.*holds list"):
        find_records([tmp_path])
