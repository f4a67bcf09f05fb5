"""JSON, tables and the plot hold what was measured, and what could not be."""

from __future__ import annotations

import json
import sys

import pytest
from torch import nn

from normlib.analysis.layer_speed import OVERHEAD_SHAPE, Case, call_overhead, measure
from normlib.analysis.speed_plot import plot
from normlib.analysis.speed_report import Results, overhead_table, table, title, training_table
from normlib.analysis.training_speed import measure_training


@pytest.fixture(scope="module")
def results() -> Results:
    layers = ["SN eager", "nn.SyncBatchNorm"]
    return Results(
        "cpu",
        [
            measure(Case((2, 32, size, size), layout), layers, rounds=1)
            for layout in ("NCHW", "NHWC")
            for size in (4, 8)
        ],
        [call_overhead(Case(OVERHEAD_SHAPE), layers, rounds=1)],
        [measure_training(tiny_network, Case((2, 3, 8, 8)), ["SN eager"], rounds=1, name="Tiny")],
    )


def tiny_network(norm):
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def test_the_json_data_has_hardware_versions_and_rows(results):
    data = json.loads(results.json())
    assert data["environment"]["device"]
    assert data["environment"]["torch"]
    assert data["environment"]["backend"]
    assert [c["case"]["shape"] for c in data["comparisons"]] == 2 * [[2, 32, 4, 4], [2, 32, 8, 8]]
    for comparison in data["comparisons"]:
        assert [row["layer"] for row in comparison["rows"]] == [
            "nn.BatchNorm",
            "SN reference",
            "SN eager",
        ]
        assert comparison["left_out"] == {"nn.SyncBatchNorm": "torch has it for GPUs only"}
    assert data["comparisons"][0]["rows"][0]["forward_backward"]["ratios"]["nn.BatchNorm"] == 1
    assert data["overhead"][0]["case"]["shape"] == [2, 8, 4, 4]
    assert data["training"][0]["rows"][0]["to_batch_norm"] == 1


def test_text_tables_are_aligned(results):
    tables = [
        table(results.comparisons[0]),
        overhead_table(results.overhead[0]),
        training_table(results.training[0]),
    ]
    for lines in tables:
        rows = [line for line in lines if line.startswith(("layer", "norm", "nn.BatchNorm", "SN"))]
        assert len(rows) >= 3
        assert len({len(row) for row in rows}) == 1
    assert any("left out: nn.SyncBatchNorm: " in line for line in tables[0])


def test_markdown_tables_have_a_cell_for_each_column(results):
    text = results.markdown()
    for heading in ("(2, 32, 8, 8) NHWC float32", "Call overhead", "Tiny, training step"):
        assert heading in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            lines = block.splitlines()
            assert len({line.count("|") for line in lines}) == 1
            assert any(line.startswith("| SN eager |") for line in lines)


def test_what_was_not_measured_has_no_column(results):
    heading = table(results.comparisons[0])[0]
    assert "x BN" in heading
    assert "x plain" in heading
    assert "x compile" not in heading
    assert "x unfused" not in heading


def test_the_plot_is_an_image(results, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "roofline.png"
    plot(results.comparisons, "a processor", file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_plot_says_what_is_missing(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot(results.comparisons, "a processor", tmp_path / "roofline.png")


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (Case((2, 3, 4, 5), "NHWC", threads=2), "(2, 3, 4, 5) NHWC float32, 2 threads, train"),
        (Case((2, 3, 4, 5, 6), mode="eval"), "(2, 3, 4, 5, 6) NCDHW float32, 1 thread, eval"),
        (
            Case((2, 3, 4, 5), dtype="bfloat16", device="cuda:0"),
            "(2, 3, 4, 5) NCHW bfloat16, train",
        ),
    ],
)
def test_a_title_says_what_was_run(case, text):
    assert title(case) == text
