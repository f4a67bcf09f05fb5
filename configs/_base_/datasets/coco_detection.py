"""COCO 2017 boxes, short side 800; `coco_data.root` puts another folder in its place."""

_base_ = "mmdet::_base_/datasets/coco_detection.py"

config_rules = ["coco_data"]
coco_data = dict()

image_scale = (1333, 800)
train_pipeline = [
    dict(type="LoadImageChecked"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageChecked"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(dataset=dict(type="CheckedCocoDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="CheckedCocoDataset", pipeline=test_pipeline))
test_dataloader = val_dataloader
