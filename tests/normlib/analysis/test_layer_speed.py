"""Layers side by side: times, ratios and memory, and what happens where one cannot run."""

from __future__ import annotations

import pytest
import torch

import normlib
from normlib.analysis.layer_peers import PEERS
from normlib.analysis.layer_speed import OVERHEAD_SHAPE, Case, call_overhead, measure
from normlib.ops import native

needs_kernels = pytest.mark.skipif(
    not native.availability("cpu").ready, reason="the CPU kernels are not built"
)
EAGER = [name for name, peer in PEERS.items() if not peer.compiled]


def rows_of(comparison):
    return {row.layer: row for row in comparison.rows}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_every_layer_is_measured_or_left_out_with_a_reason(layout, mode):
    comparison = measure(Case((2, 64, 12, 12), layout, mode=mode), EAGER, rounds=3)
    rows = rows_of(comparison)
    assert [name for name in EAGER if name in rows] == list(rows)
    assert set(rows) | set(comparison.left_out) == set(EAGER)
    assert set(comparison.left_out) <= {"nn.SyncBatchNorm"} | {n for n in PEERS if "native" in n}
    assert comparison.copy > 0
    assert comparison.batch_norm == "ATen"
    for row in rows.values():
        for speed in (row.forward, row.forward_backward):
            assert min(speed.milliseconds, speed.gigabytes_per_second, speed.of_copy) > 0


def test_a_layer_takes_as_long_as_itself():
    rows = rows_of(measure(Case((2, 64, 12, 12)), ["nn.GroupNorm(32)", "SN eager"], rounds=3))
    for label in ("nn.BatchNorm", "SN reference", "nn.GroupNorm(32)"):
        assert rows[label].forward.ratios[label] == 1
        assert rows[label].forward_backward.ratios[label] == 1
    assert set(rows["SN eager"].forward.ratios) == {*rows} - {"SN eager"}


def test_bandwidth_is_the_least_traffic_over_the_time():
    case = Case((2, 32, 12, 12), mode="eval")
    rows = rows_of(measure(case, ["SN eager"], rounds=3))
    bytes_of_x = 2 * 32 * 12 * 12 * 4
    for layer, forward, both in (("SN eager", 3, 8), ("nn.BatchNorm", 2, 5)):
        for speed, passes in ((rows[layer].forward, forward), (rows[layer].forward_backward, both)):
            moved = 1e6 * speed.gigabytes_per_second * speed.milliseconds
            assert moved == pytest.approx(passes * bytes_of_x)


def test_memory_is_counted_in_units_of_the_input():
    layers = ["nn.GroupNorm(32)", "SN eager", "nn.BatchNorm then ReLU"]
    rows = rows_of(measure(Case((4, 32, 24, 24)), layers, rounds=1))
    saved = {name: row.saved for name, row in rows.items()}
    assert 1 <= saved["nn.BatchNorm"] < 1.01
    assert 1 <= saved["nn.GroupNorm(32)"] < 1.01
    assert 1 <= saved["SN eager"] < 1.05
    assert saved["SN reference"] > 2
    assert 2 <= saved["nn.BatchNorm then ReLU"] < 2.01
    # Output and gradient of the input; torch's batch norm on the CPU takes another buffer.
    peak = {name: row.peak for name, row in rows.items()}
    assert 2 <= peak["nn.GroupNorm(32)"] < 2.05
    assert 3 <= peak["nn.BatchNorm"] < 3.05
    assert peak["SN reference"] > 4


@needs_kernels
def test_what_a_compiled_kernel_allocates_is_counted():
    rows = rows_of(measure(Case((4, 32, 24, 24)), ["SN native"], rounds=1))
    assert 1 <= rows["SN native"].saved < 1.05
    assert 2 <= rows["SN native"].peak < 3


@needs_kernels
@pytest.mark.parametrize(
    ("layer", "unfused", "batch_norm"),
    [
        ("SN native + ReLU", "SN native then ReLU", "nn.BatchNorm then ReLU"),
        ("SN native + add + ReLU", "SN native then add, ReLU", "nn.BatchNorm then add, ReLU"),
    ],
)
def test_a_fused_layer_is_compared_with_its_unfused_form(layer, unfused, batch_norm):
    rows = rows_of(measure(Case((2, 32, 12, 12), "NHWC"), [layer], rounds=1))
    assert list(rows) == [
        name
        for name in PEERS
        if name in (layer, unfused, batch_norm, "nn.BatchNorm", "SN reference")
    ]
    own, other = rows[layer].forward_backward, rows[unfused].forward_backward
    expected = own.milliseconds / other.milliseconds  # of one round
    assert own.ratios["unfused"] == pytest.approx(expected)
    assert own.ratios["nn.BatchNorm"] > 0
    assert "SN reference" not in own.ratios


def test_layers_that_cannot_run_are_reported():
    comparison = measure(Case((2, 30, 4, 4)), ["nn.GroupNorm(32)", "nn.SyncBatchNorm"], rounds=1)
    assert [row.layer for row in comparison.rows] == ["nn.BatchNorm", "SN reference"]
    assert "30" in comparison.left_out["nn.GroupNorm(32)"]
    assert "GPU" in comparison.left_out["nn.SyncBatchNorm"]


def test_without_kernels_the_native_layers_are_reported(monkeypatch):
    missing = native.Availability(False, "they were not built")
    monkeypatch.setattr(native, "availability", lambda device: missing)
    comparison = measure(Case((2, 32, 4, 4)), ["SN native"], rounds=1)
    assert "they were not built" in comparison.left_out["SN native"]


def test_five_dimensions_and_half_precision():
    layers = ["SN eager", "nn.GroupNorm(32)"]
    case = Case((2, 32, 3, 5, 5), "NHWC", "bfloat16")
    assert case.tensor(0).is_contiguous(memory_format=torch.channels_last_3d)
    rows = rows_of(measure(case, layers, rounds=1))
    assert set(rows) == {"nn.BatchNorm", "nn.GroupNorm(32)", "SN reference", "SN eager"}
    assert 1 <= rows["nn.BatchNorm"].saved < 1.2


def test_the_overhead_is_a_time_per_call():
    comparison = call_overhead(Case(OVERHEAD_SHAPE), ["SN eager"], rounds=3)
    times = [row.forward.milliseconds for row in comparison.rows]
    assert comparison.case.shape == (2, 8, 4, 4)
    assert all(0 < time < 20 for time in times)


def test_a_run_leaves_backend_and_threads_as_they_were():
    backend, threads = normlib.backend(), torch.get_num_threads()
    comparison = measure(Case((2, 32, 4, 4), threads=threads + 1), ["SN eager"], rounds=1)
    assert comparison.case.threads == threads + 1
    assert normlib.backend() == backend
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_torch_compile_is_measured_without_compiling_in_the_timed_rounds():
    for shape in ((2, 32, 8, 8), (2, 32, 6, 10)):
        comparison = measure(Case(shape), ["SN torch.compile"], rounds=3)
        rows = rows_of(comparison)
        assert not comparison.left_out
        assert rows["nn.BatchNorm"].forward.ratios["SN torch.compile"] > 0
        assert rows["SN torch.compile"].forward_backward.milliseconds < 100
        assert 1 <= rows["SN torch.compile"].saved < 4
        assert 2 <= rows["SN torch.compile"].peak < 8
