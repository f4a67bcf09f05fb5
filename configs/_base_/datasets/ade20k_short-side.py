"""ADE20K as the authors of SN train on it: whole images of one of five sizes, one a batch."""

_base_ = "mmseg::_base_/datasets/ade20k.py"

ade20k_data = dict()
short_sides = (300, 375, 450, 525, 600)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="ResizeShortSide", max_size=1000),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(1000, 450), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(1000, side), keep_ratio=True)
                for side in (300, 400, 500, 600)
            ],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=2,
    batch_sampler=dict(type="SameShapeBatchSampler"),
    dataset=dict(
        _delete_=True,
        type="ShortSideDataset",
        short_sides=short_sides,
        dataset=dict(
            type="CheckedADE20KDataset",
            data_root="data/ade/ADEChallengeData2016",
            data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(dataset=dict(type="CheckedADE20KDataset", pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type="SegIoUMetric")
test_evaluator = val_evaluator
