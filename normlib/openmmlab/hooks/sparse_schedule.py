"""The radius schedule and the freezing of sparse switchable norms."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from normlib import SparseSwitchNorm, functional, release, set_radius, switch_norm_layers
from normlib.host_copy import HostCopy
from normlib.layers.switch_norm import Choice
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.wrappers import bare_model


@HOOKS.register_module()
class SparseScheduleHook(Hook):
    """Grows the radius of every sparse layer with training, and freezes ratios that are one-hot.

    Before iteration ``i`` of ``n`` the radius is ``i / n`` (Shao et al., arXiv 1903.03793, section
    3.3), in epoch and iteration loops alike, and right after a resume. Ratios that have become
    one-hot are written down as such, see :meth:`normlib.SwitchNorm.settle`: they receive no more
    gradient, survive saving, loading, averaging over ranks and weight decay, and let synchronised
    layers skip a collective that has no effect.

    Layers that do not learn, in frozen stages or with ``requires_grad=False``, keep their radius
    and ratios.

    The ratios reach the host in a copy that is started before the iteration and read after it, so
    that no iteration waits for the device to run dry.

    Args:
        interval: Iterations between looks at the ratios.
        release_confidence: Let choices that the loaded weights carry learn again, starting from
            this ratio; None keeps them. A resumed run always keeps them.

    Raises:
        ConfigError: An argument is out of range, or the model has no sparse layer that learns.
    """

    priority = "NORMAL"

    def __init__(self, interval: int = 10, release_confidence: float | None = None) -> None:
        if not isinstance(interval, int) or isinstance(interval, bool) or interval < 1:
            raise ConfigError(f"SparseScheduleHook: interval is {interval!r}; it must be 1 or more")
        if release_confidence is not None and not 0 < release_confidence < 1:
            raise ConfigError(
                f"SparseScheduleHook: release_confidence is {release_confidence}; it must lie in "
                "(0, 1) or be None"
            )
        self.interval = interval
        self.release_confidence = release_confidence
        self._layers: list[tuple[str, SparseSwitchNorm]] = []
        self._snapshot: _Snapshot | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the sparse layers, and release inherited choices where asked to."""
        sparse = [
            (name, layer)
            for name, layer in switch_norm_layers(bare_model(runner.model))
            if isinstance(layer, SparseSwitchNorm)
        ]
        self._layers = [(name, layer) for name, layer in sparse if layer.mean_weight.requires_grad]
        if not self._layers:
            raise ConfigError(
                f"SparseScheduleHook: the model has no sparse layer that learns ({len(sparse)} are "
                "frozen); set norm_cfg.type=SSN or SyncSSN, or take the hook out of custom_hooks"
            )
        if len(sparse) > len(self._layers):
            fixed = len(sparse) - len(self._layers)
            runner.logger.info(
                f"sparse norms: {fixed} of {len(sparse)} layers are frozen as loaded"
            )
        chosen = sum(any(layer.choice) for _, layer in self._layers)
        if chosen and self.release_confidence is not None and runner.iter == 0:
            for _, layer in self._layers:
                release(layer, self.release_confidence)
            runner.logger.info(f"sparse norms: {chosen} inherited choices released")
        elif chosen:
            runner.logger.info(
                f"sparse norms: {chosen} of {len(self._layers)} layers keep a choice"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the radius, and start a copy of the control parameters to the host."""
        radius = runner.iter / runner.max_iters
        for _, layer in self._layers:
            set_radius(layer, radius)
        if runner.iter % self.interval == 0 or runner.iter + 1 == runner.max_iters:
            soft = [(name, layer) for name, layer in self._layers if not all(layer.choice)]
            self._snapshot = _Snapshot(soft, radius) if soft else None
            for _, layer in self._layers:
                layer.settle(layer.choice)  # Undo what weight decay has done to chosen ones.

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Freeze the ratios that were one-hot before this iteration."""
        if self._snapshot is None:
            return
        for name, layer, choice in self._snapshot.choices():
            layer.settle(choice)
            if all(layer.choice):
                runner.logger.info(
                    f"sparse norm {name}: mean {layer.choice.mean}, var {layer.choice.var}"
                )
        self._snapshot = None

    def after_train(self, runner: Runner) -> None:
        """Say how many layers have become one-hot."""
        settled = sum(all(layer.choice) for _, layer in self._layers)
        runner.logger.info(f"sparse norms: {settled} of {len(self._layers)} layers are one-hot")


class _Snapshot:
    """Control parameters of some layers on their way to the host."""

    def __init__(self, layers: list[tuple[str, SparseSwitchNorm]], radius: float) -> None:
        self._layers = layers
        self._radius = radius
        logits = [v.detach() for _, layer in layers for v in (layer.mean_weight, layer.var_weight)]
        self._copy = HostCopy(torch.cat(logits))

    def choices(self) -> list[tuple[str, SparseSwitchNorm, Choice]]:
        """Layers with a ratio vector that is one-hot and not yet settled."""
        found = []
        sizes = [size for _, layer in self._layers for size in [len(layer.normalizers)] * 2]
        vectors = iter(self._copy.wait().split(sizes))
        for name, layer in self._layers:
            mean, var = (self._one_hot(layer, next(vectors)) for _ in range(2))
            choice = Choice(None if layer.choice.mean else mean, None if layer.choice.var else var)
            if any(choice):
                found.append((name, layer, choice))
        return found

    def _one_hot(self, layer: SparseSwitchNorm, logits: Tensor) -> str | None:
        ratios = functional.sparsestmax(logits, self._radius).tolist()
        return layer.normalizers[ratios.index(1)] if 1 in ratios else None
