"""ADE20K as mmseg trains on it: crops of 512 x 512; `ade20k_data.root` puts others in its place."""

_base_ = "mmseg::_base_/datasets/ade20k.py"

ade20k_data = dict()

train_dataloader = dict(dataset=dict(type="CheckedADE20KDataset"))
val_dataloader = dict(dataset=dict(type="CheckedADE20KDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(type="SegIoUMetric")
test_evaluator = val_evaluator
