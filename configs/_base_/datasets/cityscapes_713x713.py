"""Cityscapes in crops of 713 x 713 as in the SN paper.

Ours: the paper gives neither the augmentation nor the scales of the test; these are semseg's.
"""

_base_ = "mmseg::_base_/datasets/cityscapes.py"

cityscapes_data = dict()
crop_size = (713, 713)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomRotate", prob=0.5, degree=10),
    dict(type="RandomGaussianBlur", prob=0.5),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(type="CheckedCityscapesDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="CheckedCityscapesDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(type="SegIoUMetric")
test_evaluator = val_evaluator
