from __future__ import annotations

import json

import pytest

import normlib
from normlib.analysis.layer_speed import PEERS, measure, report


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_layer_is_measured_against_both_peers(layout):
    rows = {m.layer: m for m in measure((2, 64, 12, 12), layout, rounds=3)}
    assert list(rows) == list(PEERS)
    assert rows["nn.BatchNorm2d"].to_batch_norm == 1
    assert rows["SN reference"].to_plain_sn == 1
    assert all(m.milliseconds > 0 and m.layout == layout for m in rows.values())


def test_memory_saved_for_backward_is_counted_in_units_of_the_input():
    rows = {m.layer: m.saved for m in measure((4, 32, 24, 24), "NCHW", rounds=1)}
    assert 1 <= rows["nn.BatchNorm2d"] < 1.01
    assert 1 <= rows["SN eager"] < 1.05
    assert rows["SN reference"] > 2


def test_the_peers_are_measured_also_when_not_asked_for():
    rows = measure((2, 32, 4, 4), "NCHW", layers=["SN eager"], rounds=1)
    assert [m.layer for m in rows] == ["nn.BatchNorm2d", "SN reference", "SN eager"]
    assert normlib.backend().name == "eager"


def test_the_report_is_json_with_hardware_and_versions():
    text = json.dumps(report(measure((2, 32, 4, 4), "NCHW", rounds=1)))
    data = json.loads(text)
    assert data["torch"]
    assert data["measurements"][0]["device"]
    assert data["measurements"][0]["shape"] == [2, 32, 4, 4]
