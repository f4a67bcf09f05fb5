"""I3D ResNet-50 on clips of 32 frames, as in Table X of the SN paper; `norm_cfg.type` chooses.

The paper gives the setting and no schedule: network, schedule and test are those of the published
baseline (video-nonlocal-net, run_i3d_baseline_400k_32f).

Command: tools/dist_train.sh configs/video/paper/i3d_r50-32x2_8xb8-109e_kinetics400.py 8
Hardware: 8 GPUs, 8 clips each
Published: top-1 73.5, top-5 91.2 (paper, Table X, 'SN', batch 8; v1)
Measured: not measured
Weights: those of the norm, see tasks/video/README.md
Options: norm_cfg.type=BN, SyncBN, SN, SyncSN, GN; batch_setting=8x4; model.backbone.with_cp=True
"""

_base_ = [
    "../../_base_/models/i3d_r50.py",
    "../../_base_/datasets/kinetics400_32x2.py",
    "../../_base_/schedules/kinetics_109e.py",
    "../../_base_/video_runtime.py",
]

norm_cfg = dict(type="SN")
model = dict(backbone=dict(conv1_stride_t=2, pool1_kernel_t=2, pool1_stride_t=2, stem_pool="valid"))
# The baseline evaluates with statistics of 200 batches; the SN paper calls it batch average.
custom_hooks = [dict(type="BatchAverageHook", num_batches=200, required=False)]
