"""MS1MV2 (faces_emore) at 112 pixels; `face_data.root` puts another folder in its place."""

face_data = dict(root="data/faces_emore")

train_pipeline = [
    dict(type="DecodeFace"),
    dict(type="RandomFlipFace", prob=0.5),
    dict(type="PackFace"),
]
test_pipeline = [dict(type="DecodeFace"), dict(type="PackFace")]

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="face_collate"),
    dataset=dict(type="FaceRecordDataset", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="face_collate"),
    dataset=dict(type="VerificationDataset", pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="FaceVerification")
test_evaluator = val_evaluator
