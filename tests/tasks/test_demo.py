from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tasks.demo import (
    CLASSIFICATION,
    DETECTION,
    FACE,
    ROOT,
    DemoError,
    Run,
    plan,
    results_table,
    run_demo,
)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.slow
@pytest.mark.timeout(900)  # every row is a training in processes of its own
def test_a_short_demo_prints_progress_and_the_table(tmp_path, capsys):
    run_demo(tmp_path, norms=("SN",), iterations=5)
    out = capsys.readouterr().out
    models = (
        *("ResNet-18", "Faster R-CNN", "Mask R-CNN", "DeepLab"),
        *("IR-ResNet-18", "I3D ResNet-18"),
    )
    titles = [f"[{number}/6] {model}, SN" for number, model in enumerate(models, 1)]
    for line in (*titles, "top-1 (%)", "mIoU", "accuracy (%)", "peak memory"):
        assert line in out
    for name in (
        "faster-rcnn_r18_fpn_toy",
        "mask-rcnn_r18_fpn_toy",
        "deeplab_r18_toy-ade20k",
        "arcface_ir18_toy",
        "i3d_r18_toy",
    ):
        record = json.loads((tmp_path / f"{name}_sn/metrics.json").read_text())
        assert record["iterations"] == record["max_iterations"] == 5
        assert record["ranks"] == 2


@pytest.mark.slow
def test_a_training_that_fails_ends_the_demo_with_its_last_words(tmp_path):
    with pytest.raises(DemoError, match=r"(?s)ResNet-18 with XX failed.*output\.txt.*XX"):
        run_demo(tmp_path, norms=("XX",), iterations=2)


def test_the_table_is_read_from_the_work_directories(tmp_path):
    measured = {"seconds_per_iteration": 0.25, "peak_memory_mib": 1000.4}
    metrics = [
        {"coco/bbox_mAP": 0.123},
        {"coco/bbox_mAP": 0.2, "coco/segm_mAP": 0.156},
        {},
    ]
    runs = [
        Run(DETECTION, model, norm, tmp_path / norm)
        for model, norm in [("Faster R-CNN", "BN"), ("Mask R-CNN", "SN"), ("Mask R-CNN", "GN")]
    ]
    for run, values in zip(runs, metrics, strict=True):
        run.work_dir.mkdir()
        (run.work_dir / "metrics.json").write_text(json.dumps({"metrics": values, **measured}))
    text = io.StringIO()
    Console(file=text, width=120).print(results_table(DETECTION, runs))
    rows = [line.split("│")[1:-1] for line in text.getvalue().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Faster R-CNN", "BN", "12.3", "-", "0.250", "1000"],
        ["Mask R-CNN", "SN", "20.0", "15.6", "0.250", "1000"],
        ["Mask R-CNN", "GN", "-", "-", "0.250", "1000"],
    ]


def test_synchronised_and_sparse_norms_start_from_sn(tmp_path):
    pretrainings, others = plan(tmp_path, ("BN", "SN", "SyncSN", "SSN"))
    assert [run.norm for run in pretrainings] == ["BN", "SN"]
    assert len(others) == 20
    faces = [run for run in others if run.task is FACE]
    assert not any("init_cfg" in option for run in faces for option in run.options)
    for run in others:
        if run.task is FACE:
            continue
        source = "bn" if run.norm == "BN" else "sn"
        weights = tmp_path / f"resnet18_toy_{source}" / "pretrained.pth"
        assert f"model.backbone.init_cfg.checkpoint={weights}" in run.options


def test_the_table_of_pretrainings(tmp_path):
    run = Run(CLASSIFICATION, "ResNet-18", "SN", tmp_path)
    record = {"metrics": {"accuracy/top1": 87.5}, "seconds_per_iteration": 0.1234,
              "peak_memory_mib": 700.4}  # fmt: skip
    (tmp_path / "metrics.json").write_text(json.dumps(record))
    text = io.StringIO()
    Console(file=text, width=120).print(results_table(CLASSIFICATION, [run]))
    rows = [line.split("│")[1:-1] for line in text.getvalue().splitlines() if line.startswith("│")]
    assert [[c.strip() for c in r] for r in rows] == [["ResNet-18", "SN", "87.5", "0.123", "700"]]
