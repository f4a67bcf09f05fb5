"""Cityscapes in crops of 769 x 769 as mmseg trains on it, tested in sliding windows."""

_base_ = "mmseg::_base_/datasets/cityscapes_769x769.py"

cityscapes_data = dict()

train_dataloader = dict(dataset=dict(type="CheckedCityscapesDataset"))
val_dataloader = dict(dataset=dict(type="CheckedCityscapesDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(type="SegIoUMetric")
test_evaluator = val_evaluator
