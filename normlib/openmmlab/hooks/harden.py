"""Training with ratios that are one-hot from some point on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.checkpoint import CheckpointLoader

from normlib import SwitchNorm, functional, switch_norm_layers
from normlib.layers import Choice
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.pretrained import state_dict_of
from normlib.openmmlab.wrappers import bare_model


@HOOKS.register_module()
class HardenHook(Hook):
    """Makes the ratios of every switchable layer one-hot at their largest entry, and keeps them so.

    See :meth:`normlib.SwitchNorm.harden`. Gamma, beta and everything else train on. Layers that do
    not learn, in frozen stages or with ``requires_grad=False``, stay as they are. A run that is
    resumed after ``begin`` hardens the layers that are still soft. Rank 0 chooses for all.

    Args:
        begin: Epoch, in epoch loops, or iteration, in iteration loops, before which it happens;
            counted from 0.
        ratios_from: Checkpoint of the same architecture whose ratios decide, and nothing else of
            it is taken: a network is trained from its own initial weights with the choice that
            another one has found. None for the ratios that the layers then have.

    Raises:
        ConfigError: ``begin`` is no number from 0 on or never comes, or the model has no switchable
            layer that learns.
        CheckpointError: The file is missing, or lacks ratios of a layer.
    """

    # Before SparseScheduleHook looks at the ratios.
    priority = "ABOVE_NORMAL"

    def __init__(self, begin: int = 0, ratios_from: str | None = None) -> None:
        if not isinstance(begin, int) or isinstance(begin, bool) or begin < 0:
            raise ConfigError(f"HardenHook: begin is {begin!r}; it must be a number from 0 on")
        self.begin = begin
        self.ratios_from = ratios_from
        self._layers: list[tuple[str, SwitchNorm]] = []
        self._given: list[tuple[int, int]] = []
        self._waiting = False

    def before_train(self, runner: Runner) -> None:
        """Find the layers and, where the ratios of another run are asked for, read these."""
        every = list(switch_norm_layers(bare_model(runner.model)))
        self._layers = [(name, layer) for name, layer in every if layer.mean_weight.requires_grad]
        if not self._layers:
            raise ConfigError(
                f"HardenHook: the model has no switchable layer that learns ({len(every)} are "
                "frozen); set norm_cfg.type=SN, or take the hook out of custom_hooks"
            )
        position, end = self._position(runner)
        if self.begin >= end:
            raise ConfigError(f"HardenHook: begin is {self.begin}, but training ends at {end}")
        if position > self.begin:
            self._layers = [(name, layer) for name, layer in self._layers if not all(layer.choice)]
        self._waiting = bool(self._layers)
        if self._waiting and self.ratios_from is not None:
            self._given = self._read(runner, self.ratios_from)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Harden when it is time."""
        if self._waiting and self._position(runner)[0] >= self.begin:
            self._harden(runner)
            self._waiting = False

    def _position(self, runner: Runner) -> tuple[int, int]:
        """Epochs or iterations done, and planned."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return runner.iter, runner.max_iters
        return runner.epoch, runner.max_epochs

    def _harden(self, runner: Runner) -> None:
        undecided = 0 if self._given else sum(_is_undecided(layer) for _, layer in self._layers)
        chosen = torch.tensor(self._given or [_largest(layer) for _, layer in self._layers])
        broadcast(chosen)
        for (_, layer), (mean, var) in zip(self._layers, chosen.tolist(), strict=True):
            layer.settle(Choice(layer.normalizers[mean], layer.normalizers[var]))
        means, variances = (
            Counter(layer.choice[part] for _, layer in self._layers) for part in range(2)
        )
        source = f" at the ratios of {self.ratios_from}" if self._given else ""
        runner.logger.info(
            f"HardenHook: {len(self._layers)} layers are one-hot{source}: means "
            f"{_described(means)}; variances {_described(variances)}"
            + f" ({undecided} had equal ratios and took the first)"
            * bool(undecided)
        )

    def _read(self, runner: Runner, path: str) -> list[tuple[int, int]]:
        """The largest entries of the control parameters in a file."""
        state = state_dict_of(CheckpointLoader.load_checkpoint(path, "cpu", runner.logger), path)
        keys = [
            (f"{name}.{key}", layer.get_parameter(key).shape)
            for name, layer in self._layers
            for key in ("mean_weight", "var_weight")
        ]
        absent = [key for key, shape in keys if key not in state or state[key].shape != shape]
        if absent:
            more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
            raise CheckpointError(
                f"HardenHook: ratios_from = {path!r} lacks {len(absent)} of {len(keys)} control "
                "parameters of the model, or has them for other normalizers: "
                f"{', '.join(absent[:8])}{more}; name a checkpoint of a model with switchable "
                "norms in the same places"
            )
        largest = [int(state[key].argmax()) for key, _ in keys]
        return list(zip(largest[::2], largest[1::2], strict=True))


def _largest(layer: SwitchNorm) -> tuple[int, int]:
    mean, var = (int(ratios.argmax()) for ratios in layer.ratios())
    return mean, var


def _is_undecided(layer: SwitchNorm) -> bool:
    return any(int((ratios == ratios.max()).sum()) > 1 for ratios in layer.ratios())


def _described(counts: Counter[str | None]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in functional.NORMALIZERS)
