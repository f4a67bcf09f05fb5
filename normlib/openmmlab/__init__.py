"""Plugs normlib into mmengine, mmcv, mmdet and mmseg; importing it is all it takes.

In a config: ``custom_imports = dict(imports=['normlib.openmmlab'])``. The import serves mmcv's
compiled operators through torchvision where mmcv has none, and registers the norms (``SN``,
``SyncSN``, ``SSN``, ``SyncSSN``), the optimizer constructor, the hooks and the loading of weights.
It has to come before mmdet.models or mmseg.models are imported.
"""

from normlib.openmmlab import mmcv_ops, safe_loading

mmcv_ops.install()
safe_loading.install()

from normlib.openmmlab import amp, hooks, norms, optimizer, pretrained, runner  # noqa: E402, F401
