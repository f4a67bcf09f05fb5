from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from tasks.data_checks.report import report, write_labels, write_problems
from tasks.data_checks.scan import Findings, scan
from tests.tasks.data_checks.squares import Squares

CLASSES = ("red", "green", "blue")


def _report(dataset: Squares, count: int | None = None) -> str:
    findings = scan(dataset, range(count or len(dataset)))
    return report("val (Squares)", findings, len(dataset), CLASSES, "pixels")


def test_sound_samples() -> None:
    lines = _report(Squares(5)).splitlines()
    assert lines[0] == "val (Squares): 5 samples"
    assert lines[1] == (
        "size (width x height): smallest 10 x 10, median 12 x 10, largest 14 x 10; 5 distinct"
    )
    rows = [line.split() for line in lines[2:]]
    assert ["red", "6", "60.0", "%", "3"] in rows
    assert ["green", "4", "40.0", "%", "2"] in rows
    assert ["all", "classes", "10", "100.0", "%", "5"] in rows
    assert lines[-2] == "1 of 3 classes without any sample: blue"
    assert lines[-1] == "all 5 samples can be used"


def test_problems_by_kind() -> None:
    text = _report(Squares(9, broken=[1, 2, 5, 7], marked=[3]))
    assert text.endswith(
        "problems:\n"
        "- 4 times:\n"
        "    /data/squares/1.png is cut off\n"
        "    /data/squares/2.png is cut off\n"
        "    /data/squares/5.png is cut off\n"
        "    and 1 more\n"
        "- once:\n"
        "    /data/squares/3.png has the value 3\n"
        "5 of 9 samples have problems"
    )
    assert "4 cannot be read" in text.replace("\n    ", " ")


def test_a_part_of_the_samples() -> None:
    text = _report(Squares(2000), count=4)
    assert text.startswith("val (Squares): 2,000 samples, 4 of them looked at\n")
    assert text.endswith("\nall 4 looked-at samples can be used")


def test_ignored_labels() -> None:
    findings = Findings(samples=2, sizes=Counter({(1, 1): 2}), labels=Counter({0: 3}), ignored=1)
    assert "\n1 pixels ignored, 25.0 % of all\n" in report("", findings, 2, CLASSES, "pixels")


def test_the_median_counts_samples() -> None:
    findings = Findings(sizes=Counter({(1, 1): 1, (2, 2): 1, (3, 3): 5}), samples=7)
    assert "median 3 x 3" in report("", findings, 7, CLASSES, "pixels")


def test_no_size_and_no_label() -> None:
    text = _report(Squares(1, broken=[0]))
    assert "size (width x height): 1 cannot be read\nno pixels of any class\n" in text


@pytest.mark.parametrize("used", [1000, 990])
def test_many_classes(used: int) -> None:
    classes = [f"class [{k}] " + "long " * (k % 30) for k in range(1000)]
    counts = Counter({k: 2000 - k for k in range(used)})
    findings = Findings(1000, Counter({(8, 8): 1000}), counts, counts, 1000)
    text = report("train", findings, 1000, classes, "objects")
    assert max(map(len, text.splitlines())) <= 100
    assert f"({used - 20} classes in between)" in text
    assert "class [9] " in text
    assert "class [10] " not in text.split("without")[0]
    assert f"class [{used - 10}] " in text
    assert ("10 of 1,000 classes without any sample: class [990]" in text) == (used == 990)
    absent = report("train", Findings(1), 1, classes, "objects")
    assert "1,000 of 1,000 classes" in absent
    assert absent.count(" [") == 10


def test_label_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "val_labels.csv"
    write_labels(path, scan(Squares(3), range(3)), ("a, b", "ö", "c"), "pixels")
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["index", "class", "pixels", "share", "samples"],
            ["0", "a, b", "4", "0.666667", "2"],
            ["1", "ö", "2", "0.333333", "1"],
            ["2", "c", "0", "0", "0"],
        ]


def test_problem_file(tmp_path: Path) -> None:
    path = tmp_path / "val_problems.txt"
    assert write_problems(path, scan(Squares(9, broken=[1, 2, 5, 7], marked=[3]), range(9)))
    lines = path.read_text().splitlines()
    assert len(lines) == 6
    assert lines[3:] == [
        "/data/squares/7.png is cut off",
        "",
        "/data/squares/3.png has the value 3",
    ]
    assert not write_problems(path, scan(Squares(2), range(2)))
    assert not path.exists()
