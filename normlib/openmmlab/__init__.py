"""Plugs normlib into mmengine, mmcv, mmdet and mmseg; importing it is all it takes.

In a config: ``custom_imports = dict(imports=['normlib.openmmlab'])``. The import serves mmcv's
compiled operators through torchvision where mmcv has none, registers the norms (``SN``, ``SyncSN``,
``SSN``, ``SyncSSN``), the optimizer constructor, the hooks and the loading of weights, and has
files read without running code from them, and images within limits of size.
It has to come before mmdet.models or mmseg.models are imported.
"""

from normlib.openmmlab import image_limit, mmcv_ops, safe_loading

mmcv_ops.install()
safe_loading.install()
image_limit.install()

from normlib.openmmlab import amp, hooks, norms, optimizer, pretrained, runner  # noqa: E402, F401
