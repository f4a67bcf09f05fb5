"""ResNet-50 with SN on ImageNet whose ratios are made hard at epoch 30 of the training.

It goes on from epoch 30 of the soft training, on the same schedule. For the other rows of Table III
name another checkpoint and epoch, 60 or 90, by load_from and custom_hooks.0.begin.

Command: tools/dist_train.sh configs/classification/resnet50-snhard_8xb32-100e_imagenet.py 8
Hardware: 8 GPUs, 32 images each
Published: top-1 77.4, top-5 93.4 (paper, Table III, row '30th', finetuned)
Measured: not measured
Weights: the run of resnet50-sn_8xb32-100e_imagenet.py. Ours: the paper does not give the schedule
"""

_base_ = "./resnet50-sn_8xb32-100e_imagenet.py"

load_from = "work_dirs/resnet50-sn_8xb32-100e_imagenet/epoch_30.pth"
resume = True
custom_hooks = [dict(type="HardenHook", begin=30)]
