from __future__ import annotations

import cv2
import numpy as np
import pytest

from tasks.face.evaluation.roc_plot import plot_roc
from tasks.face.evaluation.verification import roc_curve


@pytest.fixture
def curves():
    random = np.random.default_rng(0)
    return {
        name: roc_curve(random.normal(mean, 1, 300), random.normal(0, 1, 300))
        for name, mean in (("easy", 5), ("hard", 2))
    }


def test_a_picture_with_a_line_a_set(curves, tmp_path):
    plot_roc(curves, tmp_path / "made" / "roc.png", "Two sets")
    both = cv2.imread(str(tmp_path / "made" / "roc.png"))
    assert both.shape == (600, 840, 3)
    plot_roc({"easy": curves["easy"]}, tmp_path / "one.png", "Two sets")
    one = cv2.imread(str(tmp_path / "one.png"))

    def pixels(image, colour):
        return int((np.abs(image[..., ::-1].astype(int) - colour).max(-1) < 30).sum())

    blue, orange = (31, 119, 180), (255, 127, 14)
    assert pixels(one, blue) > 500
    assert pixels(one, orange) == 0
    assert pixels(both, orange) > 500


def test_an_error_leaves_what_was_there(curves, tmp_path):
    path = tmp_path / "roc.png"
    path.write_bytes(b"before")
    broken = {"easy": curves["easy"], "bad": None}
    with pytest.raises(AttributeError):
        plot_roc(broken, path, "")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_curves_of_one_point(tmp_path):
    plot_roc({"tiny": roc_curve(np.ones(1), np.zeros(1))}, tmp_path / "roc.png", "One pair each")
    assert cv2.imread(str(tmp_path / "roc.png")) is not None
