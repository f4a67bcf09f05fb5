"""Switchable norms that do the ReLU, and the sum with the shortcut, that follow them.

The norm then writes its output once; otherwise the sum and the ReLU each read and write it again.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeGuard

from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normlib import SwitchNorm

_RESNETS = ("mmdet.models.backbones.resnet", "mmseg.models.backbones.resnet")


def fuse_norm_activation(model: nn.Module) -> int:
    """Make the switchable norms of a model do the ReLU that follows them, in place.

    Reached are the norms of ResNet blocks, of the stem of ResNets and of ``ConvModule``, of mmdet
    and mmseg, in every class that has inherited its forward from them (ResNeXt and the stages of
    HRNet, say); the last norm of a block takes the shortcut too. Left alone are other norms and
    activations, norms with dropout, blocks with a plugin after their last norm, and classes with a
    forward of their own. State dicts, checkpointing (``with_cp``), frozen stages and copies are as
    before; outputs and gradients differ by rounding at most. A norm's forward hook sees what the
    ReLU returned. A module with a method of this name, which returns how many of its own norms it
    has fused, is asked to do so.

    Args:
        model: Any module.

    Returns:
        How many norms do their ReLU now; 0 in a model that has been through this before.
    """
    return sum([_fuse(module) for module in list(model.modules())])


class _FusedBlock:
    """Goes before a class of blocks as its base: the norms do the ReLUs and the sum."""

    def forward(self: Any, x: Tensor) -> Tensor:
        """As that of the block, which however leaves the last ReLU out of the checkpoint."""
        if self.with_cp and x.requires_grad:
            # As the block does by default; other passes stop before they update the last norm.
            out: Tensor = checkpoint(self._sum_of_branches, x, use_reentrant=True)
            return out
        return self._sum_of_branches(x)

    def _sum_of_branches(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _shortcut(self: Any, x: Tensor, like: Tensor) -> Tensor:
        identity: Tensor = x if self.downsample is None else self.downsample(x)
        return identity.to(like.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return _new, type(self).__bases__, self.__dict__


class _FusedBasicBlock(_FusedBlock):
    def _sum_of_branches(self: Any, x: Tensor) -> Tensor:
        out = self.conv2(self.norm1(self.conv1(x)))
        fused: Tensor = self.norm2(out, residual=self._shortcut(x, out))
        return fused


class _FusedBottleneck(_FusedBlock):
    def _sum_of_branches(self: Any, x: Tensor) -> Tensor:
        out = self.norm1(self.conv1(x))
        if self.with_plugins:
            out = self.forward_plugin(out, self.after_conv1_plugin_names)
        out = self.norm2(self.conv2(out))
        if self.with_plugins:
            out = self.forward_plugin(out, self.after_conv2_plugin_names)
        out = self.conv3(out)
        fused: Tensor = self.norm3(out, residual=self._shortcut(x, out))
        return fused


_BLOCKS: dict[str, type] = {"BasicBlock": _FusedBasicBlock, "Bottleneck": _FusedBottleneck}


@functools.cache
def _fused_class(fused: type, block: type) -> type:
    return type(f"Fused{block.__name__}", (fused, block), {})


def _new(fused: type, block: type) -> Any:
    return object.__new__(_fused_class(fused, block))


def _fuse(module: Any) -> int:
    """Fuse what one module does with its own children; returns how many norms that reaches."""
    if callable(fuse := getattr(module, "fuse_norm_activation", None)):
        own: int = fuse()
        return own
    forward = inspect.getattr_static(type(module), "forward")
    if forward is ConvModule.forward:
        activates = module.with_activation and module.order == ("conv", "norm", "act")
        return _fuse_relu(module, "activate", module.norm) if activates else 0
    if forward.__module__ not in _RESNETS:
        return 0
    name = forward.__qualname__.removesuffix(".forward")
    if name in _BLOCKS:
        return _fuse_block(module, _BLOCKS[name])
    if not module.deep_stem:
        return _fuse_relu(module, "relu", module.norm1)
    stem = list(module.stem)
    return sum([_fuse_relu(module.stem, str(k + 1), norm) for k, norm in enumerate(stem[:-1])])


def _fuse_relu(parent: nn.Module, relu: str, norm: nn.Module) -> int:
    if not _is_plain(norm) or type(getattr(parent, relu)) is not nn.ReLU:
        return 0
    norm.activation = "relu"
    setattr(parent, relu, nn.Identity())
    return 1


def _fuse_block(block: Any, fused: type) -> int:
    norms = [getattr(block, name) for name in ("norm1", "norm2", "norm3") if hasattr(block, name)]
    kind: type = type(block)
    if (
        type(block.relu) is not nn.ReLU
        or not all(_is_plain(norm) for norm in norms)
        or getattr(block, "after_conv3_plugin_names", None)
    ):
        return 0
    for norm in norms:
        norm.activation = "relu"
    block.__class__ = _fused_class(fused, kind)
    return len(norms)


def _is_plain(norm: nn.Module | None) -> TypeGuard[SwitchNorm]:
    return isinstance(norm, SwitchNorm) and norm.activation is None and not norm.dropout
