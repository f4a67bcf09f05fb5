"""DeepLab R50-d8 with SN as its authors released it, for evaluation.

Command: tools/dist_test.sh configs/segmentation/paper/deeplab_r50-d8-released_8xb2-100k_ade20k.py
    CHECKPOINT 8
Hardware: any; trained on 8 GPUs, 2 images each
Published: mIoU 38.72, multi-scale 39.21
    (SwitchNorm_Segmentation README, row 'ResNet50_dilated8 + c1_bilinear_deepsup, SN-(8,2)')
Measured: not measured
Weights: CHECKPOINT is made of encoder and decoder, see tasks/segmentation/README.md
"""

_base_ = "./deeplab_r50-d8_8xb2-100k_ade20k.py"

norm_cfg = dict(type="SN", momentum=0.1, unbiased=True)
backbone_weights = None
model = dict(
    data_preprocessor=dict(
        mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False
    )
)
