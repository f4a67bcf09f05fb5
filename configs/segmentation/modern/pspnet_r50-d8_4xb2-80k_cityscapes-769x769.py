"""PSPNet R50-d8 on Cityscapes with the recipe of mmsegmentation.

Command: tools/dist_train.sh
    configs/segmentation/modern/pspnet_r50-d8_4xb2-80k_cityscapes-769x769.py 4
Hardware: 4 GPUs, 2 images each
Published: none published
Measured: not measured
Weights: those of the norm, see tasks/segmentation/README.md
Options: norm_cfg.type=SyncBN, GN, SN, SyncSN; pretraining=8x2, 8x4, 8x32 with SN and SyncSN
"""

_base_ = [
    "../../_base_/models/pspnet_r50-d8.py",
    "../../_base_/models/resnet50_weights.py",
    "../../_base_/datasets/cityscapes_769x769.py",
    "../../_base_/schedules/segmentation_poly_80k.py",
    "../../_base_/segmentation_runtime.py",
]

norm_cfg = dict(_delete_=True, type="SyncSN")
model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(align_corners=True),
    auxiliary_head=dict(align_corners=True),
    test_cfg=dict(mode="slide", crop_size=(769, 769), stride=(513, 513)),
)
env_cfg = dict(cudnn_benchmark=True)
