from __future__ import annotations

import numpy as np
import pytest

from tasks.video.evaluation.confusion import NO_CLASS, Confusion, write_confusion_table

LABELS = np.array([0, 0, 0, 1, 1, 3, 3, 3, 3])
FOUND = np.array([0, 1, NO_CLASS, 1, 0, 2, 2, 0, 3])
CONFUSION = Confusion.of(LABELS, FOUND, ["bow, tie", "cook", "dive", "éclair"])


def test_figures():
    assert CONFUSION.videos == 9
    assert CONFUSION.top1 == pytest.approx(100 * 3 / 9)
    assert CONFUSION.shares[0] == pytest.approx([1 / 3, 1 / 3, 0, 0])
    assert CONFUSION.shares[2] == pytest.approx([0, 0, 0, 0])
    assert CONFUSION.shares[3] == pytest.approx([0.25, 0, 0.5, 0.25])


def test_pairs_by_number_then_share():
    pairs = [(pair.true, pair.found, pair.count) for pair in CONFUSION.confused_pairs(10)]
    assert pairs == [(3, 2, 2), (1, 0, 1), (0, 1, 1), (3, 0, 1)]
    assert len(CONFUSION.confused_pairs(2)) == 2


def test_table(tmp_path):
    write_confusion_table(CONFUSION, tmp_path / "made" / "confusion.csv")
    assert (tmp_path / "made" / "confusion.csv").read_text(encoding="utf-8").splitlines() == [
        "true class,predicted class,count",
        '"bow, tie","bow, tie",1',
        '"bow, tie",cook,1',
        '"bow, tie",,1',
        'cook,"bow, tie",1',
        "cook,cook,1",
        'éclair,"bow, tie",1',
        "éclair,dive,2",
        "éclair,éclair,1",
    ]
