"""Registry names of the layers: ``norm_cfg=dict(type='SN')`` and its relatives."""

from mmengine.registry import MODELS

import normlib

NORMS = {
    "SN": normlib.SwitchNorm,
    "SN1d": normlib.SwitchNorm1d,
    "SN2d": normlib.SwitchNorm2d,
    "SN3d": normlib.SwitchNorm3d,
    "SyncSN": normlib.SyncSwitchNorm,
    "SyncSN1d": normlib.SyncSwitchNorm1d,
    "SyncSN2d": normlib.SyncSwitchNorm2d,
    "SyncSN3d": normlib.SyncSwitchNorm3d,
    "SSN": normlib.SparseSwitchNorm,
    "SSN1d": normlib.SparseSwitchNorm1d,
    "SSN2d": normlib.SparseSwitchNorm2d,
    "SSN3d": normlib.SparseSwitchNorm3d,
    "SyncSSN": normlib.SyncSparseSwitchNorm,
    "SyncSSN1d": normlib.SyncSparseSwitchNorm1d,
    "SyncSSN2d": normlib.SyncSparseSwitchNorm2d,
    "SyncSSN3d": normlib.SyncSparseSwitchNorm3d,
}

# The root registry is searched from every scope. MODELS holds convolutions and heads under other
# names; a clash would be an error here.
for _name, _layer in NORMS.items():
    MODELS.register_module(_name, module=_layer)
