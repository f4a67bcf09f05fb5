"""37,200 iterations of 16 images, 200 epochs of Cityscapes, learning rate 0.01 down to 0.

Ours: the paper gives none of these. Epochs and rate are those of semseg, for all parts alike.
"""

_base_ = "./segmentation_poly_100k.py"

train_cfg = dict(max_iters=37_200, val_interval=3_720)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0, end=37_200, by_epoch=False)]
optim_wrapper = dict(optimizer=dict(lr=0.01))
