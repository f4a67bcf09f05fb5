from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import Evaluator

OURS, PARENTS = "tasks.detection.metrics.CocoMetric", "CocoMetric"
SIZES = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
BOX = [8.0, 8.0, 40.0, 48.0]


@pytest.fixture
def annotations(tmp_path):
    """Two images with a box each."""
    left, top, right, bottom = BOX
    sides = [left, top, right - left, bottom - top]
    polygon = [left, top, right, top, right, bottom, left, bottom]
    content = {
        "images": [{"id": k, "width": 64, "height": 64, "file_name": f"{k}.jpg"} for k in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "bbox": sides, "iscrowd": 0,
             "area": sides[2] * sides[3], "segmentation": [polygon]}
            for k in (1, 2)
        ],
    }  # fmt: skip
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(content))
    return str(file)


def evaluate(annotations, detected, kind=OURS, **options):
    """The figures of a detector that finds the object of these images, and nothing else."""
    metric = METRICS.build({"type": kind, "ann_file": annotations, **options})
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {"classes": ("cat",)}
    mask = np.zeros((64, 64), bool)
    mask[8:48, 8:40] = True
    for image in (1, 2):
        count = int(image in detected)
        predicted = {
            "bboxes": torch.tensor([BOX] * count).reshape(-1, 4),
            "scores": torch.full((count,), 0.9),
            "labels": torch.zeros(count, dtype=torch.long),
            "masks": torch.from_numpy(np.stack([mask] * count or [mask])[:count]),
        }
        sample = {"img_id": image, "ori_shape": (64, 64), "pred_instances": predicted}
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluator.evaluate(2)


def test_without_a_detection_every_figure_is_0(annotations):
    kinds = ["bbox", "segm"]
    found = evaluate(annotations, detected=(), metric=kinds)
    assert found == {f"coco/{kind}_{size}": 0.0 for kind in kinds for size in SIZES}


def test_without_a_detection_the_figures_are_those_asked_for(annotations):
    found = evaluate(annotations, detected=(), metric_items=["mAP", "AR@100"])
    assert found == {"coco/bbox_mAP": 0.0, "coco/bbox_AR@100": 0.0}


def test_with_detections_the_figures_are_those_of_mmdet(annotations):
    options = {"metric": ["bbox", "segm"], "classwise": True}
    found = evaluate(annotations, detected=(1,), **options)
    assert found == evaluate(annotations, detected=(1,), kind=PARENTS, **options)
    assert found["coco/bbox_mAP"] == pytest.approx(0.505, abs=2e-3)


def test_detections_that_are_only_written_have_no_figures(annotations, tmp_path):
    out = str(tmp_path / "out")
    assert evaluate(annotations, (), format_only=True, outfile_prefix=out) == {}
    assert json.loads((tmp_path / "out.bbox.json").read_text()) == []
