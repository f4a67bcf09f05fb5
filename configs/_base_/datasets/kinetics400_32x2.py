"""Kinetics-400 in clips of 32 frames, every second one; `kinetics_data.root` names other data."""

kinetics_data = dict(root="data/kinetics400")

train_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=32, frame_interval=2),
    dict(type="DecodeFrames"),
    dict(type="ClipRandomShortSide", low=256, high=320),
    dict(type="ClipRandomCrop", size=224),
    dict(type="ClipFlip", prob=0.5),
    dict(type="PackClips"),
]
val_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=32, frame_interval=2, test_mode=True),
    dict(type="DecodeFrames"),
    dict(type="ClipResize", short_side=256),
    dict(type="ClipCenterCrop", size=224),
    dict(type="PackClips"),
]
test_pipeline = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=32, frame_interval=2, num_clips=10, test_mode=True),
    dict(type="DecodeFrames"),
    dict(type="ClipResize", short_side=256),
    dict(type="ClipThreeCrop", size=256),
    dict(type="PackClips"),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="VideoClassDataset", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="VideoClassDataset", pipeline=val_pipeline, test_mode=True),
)
# The views of a video are 30 clips of 256 x 256: 180 MiB as bytes.
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="VideoClassDataset", pipeline=test_pipeline, test_mode=True),
)

val_evaluator = dict(type="VideoAccuracy", topk=(1, 5))
test_evaluator = val_evaluator
