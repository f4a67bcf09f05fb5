"""What every segmentation run shares."""

_base_ = "./default_runtime.py"

custom_imports = dict(imports=["normlib.openmmlab", "tasks.segmentation"])
default_scope = "mmseg"
config_rules = ["ade20k_data", "cityscapes_data", "backbone_weights"]

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=5000, save_best="mIoU", rule="greater"),
    visualization=dict(type="SegVisualizationHook"),
)
log_processor = dict(by_epoch=False)
visualizer = dict(
    type="SegLocalVisualizer",
    vis_backends=[dict(type="LocalVisBackend")],
    name="visualizer",
    alpha=0.5,
)
tta_model = dict(type="SegTTAModel")
