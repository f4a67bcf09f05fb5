from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tasks.demo import ROOT, DemoError, Run, run_demo, summary


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.slow
def test_a_short_demo_prints_progress_and_the_table(tmp_path, capsys):
    run_demo(tmp_path, norms=("SN",), iterations=5)
    out = capsys.readouterr().out
    for line in ("[1/2] Faster R-CNN, SN", "[2/2] Mask R-CNN, SN", "peak memory"):
        assert line in out
    for model in ("faster", "mask"):
        record = json.loads((tmp_path / f"{model}-rcnn_r18_fpn_toy_sn/metrics.json").read_text())
        assert record["iterations"] == record["max_iterations"] == 5
        assert record["ranks"] == 2


@pytest.mark.slow
def test_a_training_that_fails_ends_the_demo_with_its_last_words(tmp_path):
    with pytest.raises(DemoError, match=r"(?s)Faster R-CNN with XX failed.*output\.txt.*XX"):
        run_demo(tmp_path, norms=("XX",), iterations=2)


def test_the_table_is_read_from_the_work_directories(tmp_path):
    measured = {"seconds_per_iteration": 0.25, "peak_memory_mib": 1000.4}
    metrics = [
        {"coco/bbox_mAP": 0.123},
        {"coco/bbox_mAP": 0.2, "coco/segm_mAP": 0.156},
        {},
    ]
    runs = [
        Run(model, norm, tmp_path / norm)
        for model, norm in [("Faster R-CNN", "BN"), ("Mask R-CNN", "SN"), ("Mask R-CNN", "GN")]
    ]
    for run, values in zip(runs, metrics, strict=True):
        run.work_dir.mkdir()
        (run.work_dir / "metrics.json").write_text(json.dumps({"metrics": values, **measured}))
    text = io.StringIO()
    Console(file=text, width=120).print(summary(runs))
    rows = [line.split("│")[1:-1] for line in text.getvalue().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Faster R-CNN", "BN", "12.3", "-", "0.250", "1000"],
        ["Mask R-CNN", "SN", "20.0", "15.6", "0.250", "1000"],
        ["Mask R-CNN", "GN", "-", "-", "0.250", "1000"],
    ]
