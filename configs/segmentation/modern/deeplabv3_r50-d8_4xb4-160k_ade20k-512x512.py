"""DeepLabV3 R50-d8 on ADE20K with the recipe of mmsegmentation.

Command: tools/dist_train.sh
    configs/segmentation/modern/deeplabv3_r50-d8_4xb4-160k_ade20k-512x512.py 4
Hardware: 4 GPUs, 4 images each
Published: none published
Measured: not measured
Weights: those of the norm, see tasks/segmentation/README.md
Options: norm_cfg.type=SyncBN, GN, SN, SyncSN; pretraining=8x2, 8x4, 8x32 with SN and SyncSN
"""

_base_ = [
    "../../_base_/models/deeplabv3_r50-d8.py",
    "../../_base_/models/resnet50_weights.py",
    "../../_base_/datasets/ade20k_512x512.py",
    "../../_base_/schedules/segmentation_poly_160k.py",
    "../../_base_/segmentation_runtime.py",
]

norm_cfg = dict(_delete_=True, type="SyncSN")
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
env_cfg = dict(cudnn_benchmark=True)
