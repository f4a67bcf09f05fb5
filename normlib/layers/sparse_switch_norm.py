"""Sparse switchable normalisation (SSN) and its synchronised form (SyncSSN)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normlib import functional
from normlib.layers.switch_norm import SwitchNorm, SyncSwitchNorm, switch_norm_layers


class SparseSwitchNorm(SwitchNorm):
    """SN whose ratios are SparsestMax of the control parameters, one-hot at a large enough radius.

    Shao et al., "SSN: Learning Sparse Switchable Normalization via SparsestMax" (arXiv
    1903.03793). The radius is meant to grow from 0 to 1 over training, see :func:`set_radius`; it
    is part of the state dict, so that a checkpoint evaluates with the ratios it was trained with.

    Args:
        num_features: Number of channels C.
        eps: See :class:`SwitchNorm`.
        momentum: See :class:`SwitchNorm`.
        affine: See :class:`SwitchNorm`.
        radius: Radius of SparsestMax to start from, at least 0.
        **kwargs: See :class:`SwitchNorm`.

    Attributes:
        radius: Buffer of shape ().

    Raises:
        ValueError: The radius is negative, or see :class:`SwitchNorm`.
    """

    radius: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        radius: float = 0.0,
        **kwargs: Any,
    ) -> None:
        functional.check_radius(radius)
        super().__init__(num_features, eps, momentum, affine, **kwargs)
        self.initial_radius = radius
        self.register_buffer("radius", self.mean_weight.detach().new_full((), radius))

    def reset_parameters(self) -> None:
        """As :meth:`SwitchNorm.reset_parameters`; the radius goes back to its initial value."""
        super().reset_parameters()
        if "radius" in self._buffers:  # not yet, when the base class is being made
            self.radius.fill_(self.initial_radius)

    @torch.no_grad()
    def release(self, confidence: float = 0.5) -> bool:
        """As :meth:`SwitchNorm.release`; the radius goes back to 0, where ratios are softest."""
        released = super().release(confidence)
        self.radius.zero_()
        return released

    def ratio_function(self, logits: Tensor) -> Tensor:
        """Ratios of control parameters of shape (*, K): here their SparsestMax."""
        return functional.sparsestmax(logits, self.radius)

    def _ratios_of(self, mean_logits: Tensor, var_logits: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = self.ratio_function(torch.stack((mean_logits, var_logits))).unbind()
        return mean, var

    def _logits_of(self, ratios: Tensor) -> Tensor:
        return ratios

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if prefix + "mean_weight" in state_dict:
            logits = state_dict[prefix + "mean_weight"]
            state_dict.setdefault(prefix + "radius", logits.new_tensor(self._known_radius()))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _known_radius(self) -> float:
        return self.initial_radius if self.radius.is_meta else float(self.radius)


class SyncSparseSwitchNorm(SparseSwitchNorm, SyncSwitchNorm):
    """:class:`SparseSwitchNorm` with the batch statistics of :class:`SyncSwitchNorm`."""


class SparseSwitchNorm1d(SparseSwitchNorm):
    """:class:`SparseSwitchNorm` for inputs of shape (N, C) or (N, C, L)."""

    _dims = (2, 3)


class SparseSwitchNorm2d(SparseSwitchNorm):
    """:class:`SparseSwitchNorm` for inputs of shape (N, C, H, W)."""

    _dims = (4,)


class SparseSwitchNorm3d(SparseSwitchNorm):
    """:class:`SparseSwitchNorm` for inputs of shape (N, C, D, H, W)."""

    _dims = (5,)


class SyncSparseSwitchNorm1d(SyncSparseSwitchNorm):
    """:class:`SyncSparseSwitchNorm` for inputs of shape (N, C) or (N, C, L)."""

    _dims = (2, 3)


class SyncSparseSwitchNorm2d(SyncSparseSwitchNorm):
    """:class:`SyncSparseSwitchNorm` for inputs of shape (N, C, H, W)."""

    _dims = (4,)


class SyncSparseSwitchNorm3d(SyncSparseSwitchNorm):
    """:class:`SyncSparseSwitchNorm` for inputs of shape (N, C, D, H, W)."""

    _dims = (5,)


@torch.no_grad()
def set_radius(model: nn.Module, radius: float) -> None:
    """Set the radius of every sparse layer of a model, without a device synchronisation.

    Args:
        model: Any module.
        radius: Radius of SparsestMax, at least 0; with three normalizers every ratio is one-hot
            from sqrt(2/3) on.

    Raises:
        ValueError: The radius is negative.
    """
    functional.check_radius(radius)
    for _, layer in switch_norm_layers(model):
        if isinstance(layer, SparseSwitchNorm):
            layer.radius.fill_(radius)
