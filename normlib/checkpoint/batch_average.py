"""Batch statistics averaged over many mini-batches, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from normlib.layers import SwitchNorm, switch_norm_layers
from normlib.ops import sync

# Key of a checkpoint under which the momentum statistics stay when averages have taken their place.
MOMENTUM_STATISTICS = "momentum_statistics"

# What acts in training alone, of mmcv, timm and torchvision, which no common class unites.
_OFF = ("DropPath", "DropBlock", "DropBlock2d", "DropBlock3d", "StochasticDepth", "MixUp", "CutMix")


class BatchAverage:
    r"""Averages the batch statistics that the norms of a model compute on what it is fed.

    The "batch average" of Luo et al. (arXiv 1806.10779, section 3.2; "precise statistics"
    elsewhere): with batch means :math:`m_i` and variances :math:`v_i` of :math:`n` mini-batches,
    the mean is the average of :math:`m_i`, and the variance the average of :math:`v_i + m_i^2`
    minus the square of the mean. It is computed as the average of :math:`v_i` plus the variance of
    the :math:`m_i`, in float64. Every batch counts the same, whatever its size.

    Averaged are switchable norms that have batch statistics and PyTorch's batch norms, where they
    are in training mode after ``model.train()``; frozen ones keep what they have. The :math:`v_i`
    are what the layer itself would take into its running variance: for PyTorch's batch norms that
    is the unbiased variance. Every call of a layer is a batch of its own; a batch without elements
    is none, and a layer that sees none keeps its statistics.

    Example:
        >>> average = BatchAverage(model)
        >>> with average.collecting():
        ...     for images in batches:
        ...         model(images)
        >>> momentum = swap_statistics(model, average.statistics())

    Args:
        model: Any module.

    Attributes:
        layers: The layers by name.

    Raises:
        ValueError: The model has no such layer.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        with _training(model):
            tracked = {
                name: m
                for name, m in model.named_modules()
                if isinstance(m, (SwitchNorm, _BatchNorm)) and m.running_mean is not None
            }
            self.layers: dict[str, SwitchNorm | _BatchNorm]
            self.layers = {name: layer for name, layer in tracked.items() if layer.training}
        if not self.layers:
            raise ValueError(
                f"{type(model).__name__} has no norm whose batch statistics could be averaged: "
                f"{len(tracked)} norms have running statistics, and all of these stay in "
                "evaluation mode when the model trains"
            )
        self._moments = {name: _Moments(layer) for name, layer in self.layers.items()}

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """While this lasts, what the model is called with counts.

        The model is then in training mode without gradients, its dropout and mixup off. Afterwards
        parameters and buffers, running statistics included, and modes are as they were before.
        """
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(_training(self._model))
            stack.enter_context(_buffers_kept(self._model))
            for name, layer in self.layers.items():
                stack.enter_context(_recorded(layer, self._moments[name]))
            yield

    def statistics(self, group: dist.ProcessGroup | None = None) -> dict[str, Tensor]:
        """The averages over all batches so far, of all ranks where there are several.

        Every rank of the group has to call this, and gets the same; ranks may have seen different
        numbers of batches. It takes two collectives, however many layers there are.

        Args:
            group: Processes to average over, None for all.

        Returns:
            ``running_mean`` and ``running_var`` by the names that they have in the state dict, in
            their own dtype, for the layers that have seen a batch on any rank.
        """
        moments = list(self._moments.values())
        sizes = [len(m.mean) for m in moments]
        device = moments[0].mean.device
        counts = torch.stack([m.count.to(device) for m in moments])
        mean, var, spread = (
            torch.cat([getattr(m, name).to(device) for m in moments])
            for name in ("mean", "var", "spread")
        )

        def by_channel(counts: Tensor) -> Tensor:
            return torch.cat([count.expand(n) for count, n in zip(counts, sizes, strict=True)])

        group = sync.synchronizing_group(group)
        if group is not None:
            # Chan et al.: the deviations are taken from the mean of all before they are added.
            weights = by_channel(counts)
            sums = torch.cat([counts, weights * mean, weights * var])
            dist.all_reduce(sums, group=group)
            own_mean = mean
            counts, mean, var = sums.split([len(counts), len(mean), len(var)])
            everywhere = by_channel(counts).clamp(min=1)
            mean, var = mean / everywhere, var / everywhere
            spread = spread + weights * (own_mean - mean).square()
            dist.all_reduce(spread, group=group)
        var = var + spread / by_channel(counts).clamp(min=1)

        result = {}
        parts = (counts.tolist(), mean.split(sizes), var.split(sizes))
        layers = zip(self.layers.items(), *parts, strict=True)
        for (name, layer), count, layer_mean, layer_var in layers:
            if count > 0:
                prefix = f"{name}." if name else ""
                assert layer.running_mean is not None and layer.running_var is not None
                result[f"{prefix}running_mean"] = layer_mean.to(layer.running_mean)
                result[f"{prefix}running_var"] = layer_var.to(layer.running_var)
        return result


@torch.no_grad()
def swap_statistics(model: nn.Module, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy statistics into the buffers of a model.

    Args:
        model: Any module.
        statistics: Tensors by the names of buffers, as from :meth:`BatchAverage.statistics`.

    Returns:
        Copies of what the same buffers held before; the same function puts them back.
    """
    before = {name: model.get_buffer(name).clone() for name in statistics}
    for name, value in statistics.items():
        model.get_buffer(name).copy_(value)
    return before


class _Moments:
    """What one layer has seen: all float64, on its device.

    Attributes:
        count: Number of batches, shape ().
        mean: Average of their means, shape (C,).
        var: Average of their variances, shape (C,).
        spread: Sum of the squared deviations of their means, shape (C,).
    """

    def __init__(self, layer: SwitchNorm | _BatchNorm) -> None:
        assert layer.running_mean is not None
        like = layer.running_mean
        self.count = torch.zeros((), dtype=torch.float64, device=like.device)
        self.mean, self.var, self.spread = (
            torch.zeros_like(like, dtype=torch.float64) for _ in range(3)
        )

    def add(self, mean: Tensor, var: Tensor, fresh: Tensor | float) -> None:
        """Take in a batch where ``fresh`` is 1, and nothing where it is 0 (Welford's update)."""
        self.count += fresh
        weight = fresh / self.count.clamp(min=1)
        offset = mean - self.mean
        self.mean += weight * offset
        self.var += weight * (var - self.var)
        self.spread += fresh * offset * (mean - self.mean)


@contextmanager
def _recorded(layer: SwitchNorm | _BatchNorm, moments: _Moments) -> Iterator[None]:
    """Have the layer write the statistics of every batch elsewhere, and take them from there."""
    # Only a switchable norm tells, without a look at its input, whether there was a batch; it is
    # also one that takes buffers of another dtype than its own.
    tells = isinstance(layer, SwitchNorm)
    mean, var = torch.zeros_like(moments.mean), torch.zeros_like(moments.var)
    if not tells:
        mean, var = mean.to(layer.running_mean), var.to(layer.running_var)
    batches = torch.zeros_like(moments.count, dtype=torch.float32 if tells else torch.long)

    def before(*_: Any) -> None:
        for tensor in (mean, var, batches):
            tensor.zero_()

    def after(_: nn.Module, inputs: Any, output: Tensor) -> None:
        synchronised = isinstance(layer, nn.SyncBatchNorm) and dist.is_initialized()
        moments.add(mean, var, batches if tells else float(output.numel() > 0 or synchronised))

    buffers = dict(running_mean=mean, running_var=var, num_batches_tracked=batches)
    # Both leave a single batch as it is: the cumulative average that a switchable norm counts its
    # batches for, and a momentum of 1.
    with _writing_to(layer, buffers, None if tells else 1.0), _hooked(layer, before, after):
        yield


@contextmanager
def _writing_to(
    layer: SwitchNorm | _BatchNorm, buffers: Mapping[str, Tensor], momentum: float | None
) -> Iterator[None]:
    own = {name: layer._buffers[name] for name in buffers}
    own_momentum = layer.momentum
    layer._buffers.update(buffers)
    layer.momentum = momentum
    try:
        yield
    finally:
        layer._buffers.update(own)
        layer.momentum = own_momentum


@contextmanager
def _hooked(
    layer: nn.Module, before: Callable[..., None], after: Callable[..., None]
) -> Iterator[None]:
    handles = [
        layer.register_forward_pre_hook(before),
        layer.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Training mode, as the model itself understands it, without dropout and mixup."""
    modes = {module: module.training for module in model.modules()}
    dropouts = {layer: layer.dropout for _, layer in switch_norm_layers(model)}
    try:
        model.train()
        for layer in dropouts:
            layer.dropout = 0.0
        for module in modes:
            if isinstance(module, _DropoutNd) or type(module).__name__ in _OFF:
                module.training = False
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for layer, dropout in dropouts.items():
            layer.dropout = dropout


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Undo what a training pass does to buffers: power iterations, memory banks, counters."""
    kept = [
        (module, name, buffer, buffer._version, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for module, name, buffer, version, value in kept:
            if buffer._version != version:
                buffer.copy_(value)
            module._buffers[name] = buffer
