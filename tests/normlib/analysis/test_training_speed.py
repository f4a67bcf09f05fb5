"""Training steps of one network with several norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normlib.analysis.layer_speed import Case
from normlib.analysis.training_speed import measure_training
from normlib.ops import native


def network(norm):
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.Flatten(), nn.Linear(4 * 36, 2))


@pytest.mark.parametrize(("layout", "dtype"), [("NCHW", "float32"), ("NHWC", "bfloat16")])
def test_norms_are_compared_with_batch_norm(layout, dtype):
    case = Case((2, 3, 8, 8), layout, dtype)
    training = measure_training(network, case, ["SN eager"], rounds=2)
    assert [row.norm for row in training.rows] == ["nn.BatchNorm2d", "SN eager"]
    assert training.rows[0].to_batch_norm == 1
    for row in training.rows:
        assert row.images_per_second == pytest.approx(2000 / row.milliseconds)


def test_the_steps_train():
    made = []

    def remembered(norm):
        torch.manual_seed(0)
        made.append(network(norm))
        return made[-1]

    measure_training(remembered, Case((2, 3, 8, 8)), [], rounds=2)
    torch.manual_seed(0)
    start = network(nn.BatchNorm2d)
    assert not torch.equal(made[0][0].weight, start[0].weight)
    assert made[0][1].num_batches_tracked > 2


def test_a_norm_that_cannot_run_is_reported(monkeypatch):
    missing = native.Availability(False, "they were not built")
    monkeypatch.setattr(native, "availability", lambda device: missing)
    training = measure_training(network, Case((2, 3, 8, 8)), ["SN native"], rounds=1)
    assert [row.norm for row in training.rows] == ["nn.BatchNorm2d"]
    assert "they were not built" in training.left_out["SN native"]
