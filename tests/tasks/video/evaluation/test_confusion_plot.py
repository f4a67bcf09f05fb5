from __future__ import annotations

import cv2
import numpy as np
import pytest

from tasks.video.evaluation.confusion import Confusion
from tasks.video.evaluation.confusion_plot import plot_confusion


def confusion(count, right=0.8):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(count), 5)
    found = np.where(
        random.random(len(labels)) < right, labels, random.integers(0, count, len(labels))
    )
    return Confusion.of(labels, found, [f"class number {n} costs $1 and $2" for n in range(count)])


def dark(path):
    """The number of pixels of the dark blue of large shares."""
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    return int((np.abs(image - (8, 48, 107)).max(-1) < 20).sum())


@pytest.mark.parametrize("count", [1, 8, 40, 41, 400])
def test_any_number_of_classes(count, tmp_path):
    plot_confusion(confusion(count), tmp_path / "made" / "confusion.png")
    height, width, _ = cv2.imread(str(tmp_path / "made" / "confusion.png")).shape
    assert 400 < height < 2000
    assert 400 < width < 2200


def test_right_answers_are_dark(tmp_path):
    plot_confusion(confusion(8, right=1), tmp_path / "right.png")
    plot_confusion(confusion(8, right=0), tmp_path / "wrong.png")
    assert dark(tmp_path / "right.png") > 8 * 1000 + dark(tmp_path / "wrong.png")


def test_nothing_is_confused(tmp_path):
    plot_confusion(confusion(50, right=1), tmp_path / "confusion.png")
    assert dark(tmp_path / "confusion.png") > 1000


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "confusion.png"
    path.write_bytes(b"before")
    with pytest.raises(TypeError):
        plot_confusion(Confusion([None, None], np.ones((2, 3), int)), path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
