"""What every detection run shares."""

_base_ = "./default_runtime.py"

custom_imports = dict(imports=["normlib.openmmlab", "tasks.detection"])
default_hooks = dict(visualization=dict(type="DetVisualizationHook"))
visualizer = dict(
    type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
