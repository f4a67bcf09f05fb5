"""DeepLab R50-d8 on ADE20K with the recipe of the SN paper; `norm_cfg.type` and `pretraining`.

Command: tools/dist_train.sh configs/segmentation/paper/deeplab_r50-d8_8xb2-100k_ade20k.py 8
Hardware: 8 GPUs, 2 images each
Published: mIoU 39.0, multi-scale 39.3 (paper, Table VII, row 'SyncSN (8,2)')
Measured: not measured
Weights: those of the norm, see tasks/segmentation/README.md
Options: norm_cfg.type=SyncBN, GN, SN, SyncSN; pretraining=8x2, 8x4, 8x32 with SN and SyncSN
"""

_base_ = [
    "../../_base_/models/deeplab_r50-d8.py",
    "../../_base_/models/resnet50_weights.py",
    "../../_base_/datasets/ade20k_short-side.py",
    "../../_base_/schedules/segmentation_poly_100k.py",
    "../../_base_/segmentation_runtime.py",
]

norm_cfg = dict(_delete_=True, type="SyncSN")
model = dict(
    data_preprocessor=dict(size_divisor=8, test_cfg=dict(size_divisor=8)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
