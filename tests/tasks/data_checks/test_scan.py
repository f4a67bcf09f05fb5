from __future__ import annotations

import pytest

from tasks.data_checks import DatasetError
from tasks.data_checks.scan import check_examinable, scan, spread
from tests.tasks.data_checks.squares import Dying, Faulty, Squares


@pytest.mark.parametrize("workers", [0, 2])
def test_findings(workers: int) -> None:
    seen = []
    dataset = Squares(40, broken=[3, 20], marked=[5])
    findings = scan(dataset, range(40), workers, lambda *counts: seen.append(counts))
    assert findings.samples == 40
    assert findings.sizes[None] == 2
    assert findings.sizes[(10, 10)] == 1
    assert findings.labels == {0: 2 * 19, 1: 2 * 19}
    assert findings.samples_with == {0: 19, 1: 19}
    assert findings.labelled == 38
    assert findings.problems == [
        (3, "/data/squares/3.png is cut off"),
        (5, "/data/squares/5.png has the value 5"),
        (20, "/data/squares/20.png is cut off"),
    ]
    assert findings.troubled == [3, 5, 20]
    assert seen[-1] == (40, 40)
    assert seen == sorted(seen)


def test_chosen_samples_only() -> None:
    findings = scan(Squares(40, broken=[3, 4]), [4, 6, 8])
    assert findings.samples == 3
    assert findings.troubled == [4]


def test_a_worker_that_dies() -> None:
    with pytest.raises(RuntimeError, match=r"worker.*exited unexpectedly"):
        scan(Dying(3), range(3), workers=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_comes_through(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="sample 0"):
        scan(Faulty(3), range(3), workers)


def test_spread() -> None:
    assert spread(4) == spread(4, 4) == spread(4, 9) == [0, 1, 2, 3]
    assert spread(101, 3) == [0, 50, 100]
    assert spread(10, 1) == [0]
    assert spread(0, 5) == []


def test_what_cannot_be_looked_through() -> None:
    check_examinable(Squares(1))
    with pytest.raises(
        DatasetError, match=r"type list \(builtins\).*lacks metainfo, label_unit, examine, picture;"
    ):
        check_examinable([1, 2])
    nameless = Squares(1)
    nameless.metainfo = {}
    with pytest.raises(DatasetError, match="metainfo of Squares names no classes"):
        check_examinable(nameless)
