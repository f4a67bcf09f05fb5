"""COCO 2017 boxes, short side 800; `coco_data.root` puts another folder in its place."""

_base_ = "mmdet::_base_/datasets/coco_detection.py"

config_rules = ["coco_data"]
coco_data = dict()

train_dataloader = dict(dataset=dict(type="CheckedCocoDataset"))
val_dataloader = dict(dataset=dict(type="CheckedCocoDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(type="tasks.detection.metrics.CocoMetric")
test_evaluator = val_evaluator
