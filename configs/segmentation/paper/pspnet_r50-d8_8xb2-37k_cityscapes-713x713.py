"""PSPNet R50-d8 on Cityscapes with the crop of the SN paper and the schedule of semseg.

Command: tools/dist_train.sh
    configs/segmentation/paper/pspnet_r50-d8_8xb2-37k_cityscapes-713x713.py 8
Hardware: 8 GPUs, 2 images each
Published: mIoU 76.0, multi-scale 76.6 (paper, Table VIII, column 'SyncSN (8,2)')
Measured: not measured
Weights: those of the norm, see tasks/segmentation/README.md
Options: norm_cfg.type=SyncBN, GN, SN, SyncSN; pretraining=8x2, 8x4, 8x32 with SN and SyncSN
"""

_base_ = [
    "../../_base_/models/pspnet_r50-d8.py",
    "../../_base_/models/resnet50_weights.py",
    "../../_base_/datasets/cityscapes_713x713.py",
    "../../_base_/schedules/segmentation_poly_37k.py",
    "../../_base_/segmentation_runtime.py",
]

norm_cfg = dict(_delete_=True, type="SyncSN")
crop_size = (713, 713)
# Ours, as in semseg: align_corners, and windows of a test that overlap by a third.
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(align_corners=True, loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(align_corners=True, loss_decode=dict(avg_non_ignore=True)),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(476, 476)),
)
