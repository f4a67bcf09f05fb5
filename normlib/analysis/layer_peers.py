"""The layers that the benchmark compares."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules._functions import SyncBatchNorm as SyncBatchNormFunction

import normlib
from normlib.ops import native

# What follows the norm, and how a name says that it does: in operators of its own, or in the layer.
_SUFFIXES = {
    "": ("", ""),
    "relu": (" then ReLU", " + ReLU"),
    "add relu": (" then add, ReLU", " + add + ReLU"),
}


class _Family(NamedTuple):
    make: Callable[[Tensor], nn.Module] | None  # None for SwitchNorm
    backend: str | None = None
    compiled: bool = False


@dataclass(frozen=True)
class Peer:
    """A normalisation, what follows it, and how it runs.

    Attributes:
        family: The norm, and for switchable normalisation the backend.
        tail: What follows: ``''``, ``'relu'``, or ``'add relu'`` with a second input to add.
        fused: Whether the layer itself does what follows.
    """

    family: str
    tail: str = ""
    fused: bool = False

    @property
    def name(self) -> str:
        """Name in :data:`PEERS`."""
        return self.family + _SUFFIXES[self.tail][self.fused]

    @property
    def backend(self) -> str | None:
        """Backend of normlib that it runs on."""
        return _FAMILIES[self.family].backend

    @property
    def compiled(self) -> bool:
        """Whether torch.compile makes it."""
        return _FAMILIES[self.family].compiled

    def build(self, x: Tensor, training: bool = True) -> nn.Module:
        """A layer for inputs like ``x``; for the tail ``'add relu'`` it takes two.

        Raises:
            ValueError: There is no such layer for the input.
        """
        make = _FAMILIES[self.family].make
        if self.backend == "native":
            check_native(x)
        activation = "relu" if self.fused else None
        norm = make(x) if make else normlib.SwitchNorm(x.shape[1], activation=activation)
        layer = norm if self.fused or not self.tail else _Then(norm)
        layer.to(x.device).train(training)
        if self.compiled:
            return cast(nn.Module, torch.compile(layer, fullgraph=True, dynamic=False))
        return layer

    def passes(self, training: bool = True) -> tuple[int, int]:
        """Reads and writes of a whole input that are needed: forward, and forward + backward.

        Forward, two reads and a write; backward, two reads for the sums, then two and a write.
        Batch norms do not need the sums in evaluation. A second input adds its read and its
        gradient's write.
        """
        sums = training or "BatchNorm" not in self.family
        forward, backward = (3, 5) if sums else (2, 3)
        extra = int(self.tail == "add relu")
        return forward + extra, forward + backward + 2 * extra

    def rivals(self) -> dict[str, str]:
        """What it is compared with, as :data:`RATIOS` names it: the name in :data:`PEERS`."""
        names = {family: _name_of(family, self.tail) for family in RATIOS if family != "unfused"}
        if self.fused and not self.compiled:
            names["unfused"] = Peer(self.family, self.tail).name
        return {label: name for label, name in names.items() if name is not None}


def check_native(x: Tensor) -> None:
    """Raise ValueError where the native backend would hand this input to another one."""
    if not native.serves(x):
        why = native.availability(x.device.type)
        raise ValueError(f"no kernels for {x.dtype}" if why.ready else why.reason)


class _Then(nn.Module):
    """A norm and what follows it in a ResNet, in place as there."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        y: Tensor = self.norm(x)
        if residual is not None:
            y += residual
        return F.relu(y, inplace=True)


class _SyncBatchNorm(nn.SyncBatchNorm):
    """Takes the synchronised path also in a group of one process, which torch's layer leaves."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        vectors = self.weight, self.bias, self.running_mean, self.running_var
        group = _single_process_group()
        y: Tensor = SyncBatchNormFunction.apply(
            input, *vectors, self.eps, self.momentum, group, group.size()
        )
        return y


@cache
def _single_process_group() -> dist.ProcessGroup:
    """An NCCL group of this process alone, or the default group where there is one."""
    if not dist.is_initialized():
        dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
        atexit.register(dist.destroy_process_group)
    group = dist.group.WORLD
    assert group is not None
    return group


def _batch_norm(x: Tensor) -> nn.Module:
    return (nn.BatchNorm3d if x.dim() == 5 else nn.BatchNorm2d)(x.shape[1])


def _group_norm(x: Tensor) -> nn.Module:
    # On CUDA, its parameters have to be of the dtype of the input.
    return nn.GroupNorm(32, x.shape[1], dtype=x.dtype)


def _sync_batch_norm(x: Tensor) -> nn.Module:
    if not x.is_cuda:
        raise ValueError("torch has it for GPUs only")
    return _SyncBatchNorm(x.shape[1])


def _name_of(family: str, tail: str) -> str | None:
    names = (peer.name for peer in PEERS.values() if (peer.family, peer.tail) == (family, tail))
    return next(names, None)


_FAMILIES = {
    "nn.BatchNorm": _Family(_batch_norm),
    "nn.GroupNorm(32)": _Family(_group_norm),
    "nn.SyncBatchNorm": _Family(_sync_batch_norm),
    "SN reference": _Family(None, "reference"),
    "SN torch.compile": _Family(None, "reference", compiled=True),
    "SN eager": _Family(None, "eager"),
    "SN native": _Family(None, "native"),
}
#: Layers by name. ``nn.BatchNorm`` is ``nn.BatchNorm2d``, or ``3d`` for 5-D inputs; GroupNorm has
#: parameters of the dtype of the input, the others in float32.
PEERS = {
    peer.name: peer
    for peer in (
        *(Peer(family) for family in _FAMILIES),
        *(
            peer
            for tail in ("relu", "add relu")
            for peer in (
                Peer("nn.BatchNorm", tail),
                Peer("SN torch.compile", tail, fused=True),
                Peer("SN native", tail),
                Peer("SN native", tail, fused=True),
            )
        ),
    )
}
#: What times are divided by, and the heading: for a layer with a tail, the layer with that tail.
RATIOS = {
    "nn.BatchNorm": "x BN",
    "SN reference": "x plain",
    "SN torch.compile": "x compile",
    "nn.GroupNorm(32)": "x GN",
    "unfused": "x unfused",
}
