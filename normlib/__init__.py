"""Switchable normalisation for PyTorch: SN, SyncSN, SSN and SyncSSN.

The layers need torch alone. ``normlib.openmmlab`` plugs them into mmengine, mmdet and mmseg.

Example:
    >>> import torch, normlib
    >>> layer = normlib.SwitchNorm(64)
    >>> layer(torch.randn(8, 64, 56, 56)).shape
    torch.Size([8, 64, 56, 56])
"""

from normlib import functional
from normlib.checkpoint.convert import convert
from normlib.layers import (
    SparseSwitchNorm,
    SparseSwitchNorm1d,
    SparseSwitchNorm2d,
    SparseSwitchNorm3d,
    SwitchNorm,
    SwitchNorm1d,
    SwitchNorm2d,
    SwitchNorm3d,
    SyncSparseSwitchNorm,
    SyncSparseSwitchNorm1d,
    SyncSparseSwitchNorm2d,
    SyncSparseSwitchNorm3d,
    SyncSwitchNorm,
    SyncSwitchNorm1d,
    SyncSwitchNorm2d,
    SyncSwitchNorm3d,
    harden,
    release,
    set_radius,
    switch_norm_layers,
)
from normlib.ops.registration import BackendInfo, backend, use_backend

__version__ = "0.1.0"

__all__ = [
    "BackendInfo",
    "SparseSwitchNorm",
    "SparseSwitchNorm1d",
    "SparseSwitchNorm2d",
    "SparseSwitchNorm3d",
    "SwitchNorm",
    "SwitchNorm1d",
    "SwitchNorm2d",
    "SwitchNorm3d",
    "SyncSparseSwitchNorm",
    "SyncSparseSwitchNorm1d",
    "SyncSparseSwitchNorm2d",
    "SyncSparseSwitchNorm3d",
    "SyncSwitchNorm",
    "SyncSwitchNorm1d",
    "SyncSwitchNorm2d",
    "SyncSwitchNorm3d",
    "backend",
    "convert",
    "functional",
    "harden",
    "release",
    "set_radius",
    "switch_norm_layers",
    "use_backend",
]
