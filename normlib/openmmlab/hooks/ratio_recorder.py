"""A record of what every switchable norm chooses in the course of a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from normlib.analysis.ratio_file import RatioWriter
from normlib.analysis.ratio_record import FILE_NAME, from_flat
from normlib.analysis.ratio_snapshot import RatioRecorder, RatioSnapshot
from normlib.analysis.ratio_summary import part_means
from normlib.analysis.receptive_field import FieldTracker
from normlib.functional import NORMALIZERS
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.wrappers import bare_model


@HOOKS.register_module()
class RatioRecorderHook(Hook):
    """Writes the importance ratios of all layers to ``ratios.bin`` in the work directory.

    The record, which :func:`normlib.analysis.ratio_file.read_ratios` reads and
    ``tools/plot_ratios.py`` draws, has the ratios before the first iteration, evenly spaced ones
    and those after the last, in loops of epochs and of iterations alike. A resumed run goes on with
    it; a record of something else is kept aside. It also has the receptive field of every layer,
    which the first forward pass of the process shows; it is null for a model that is compiled.

    Averages over the layers of each part go to the visualizer, as ``ratios/backbone/mean/in`` and
    so on, and so to TensorBoard and the like. In the local ``scalars.json`` they are lines of their
    own, whose ``step`` and ``iter`` are the iterations that were done.

    The ratios leave the device in a copy that is started before an iteration and read after it, so
    that no iteration waits for the device. A snapshot takes about 1 ms of a CPU core for the 53
    layers of a ResNet-50, and so 0.2 s in a training. Nothing that is trained changes, and no
    random number is drawn. Rank 0 does the work. In a model without switchable norms the hook does
    nothing.

    Args:
        snapshots: How many moments to record, about.

    Raises:
        ConfigError: ``snapshots`` is no number from 1 on.
    """

    # After SparseScheduleHook (NORMAL), which sets the radius, and before LoggerHook.
    priority = 55

    def __init__(self, snapshots: int = 200) -> None:
        if not isinstance(snapshots, int) or isinstance(snapshots, bool) or snapshots < 1:
            raise ConfigError(
                f"RatioRecorderHook: snapshots is {snapshots!r}; it must be 1 or more"
            )
        self.snapshots = snapshots
        self._recorder: RatioRecorder | None = None
        self._writer: RatioWriter | None = None
        self._snapshot: RatioSnapshot | None = None
        self._first: _FirstForward | None = None
        self._start, self._interval = 0, 1

    def before_train(self, runner: Runner) -> None:
        """Find the layers."""
        model = bare_model(runner.model)
        recorder = RatioRecorder(model) if is_main_process() else None
        self._recorder = recorder if recorder is not None and recorder.layers else None
        self._writer = self._snapshot = self._first = None
        if self._recorder is not None:
            self._start = runner.iter
            self._interval = max(1, math.ceil(runner.max_iters / self.snapshots))
            if not _is_compiled(runner.model):
                self._first = _FirstForward(model)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Start a copy of the control parameters to the host."""
        if self._recorder is not None and runner.iter % self._interval == 0:
            self._snapshot = self._recorder.snapshot()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write the ratios from before this iteration."""
        if self._first is not None and self._recorder is not None:
            self._first.stop()
            self._recorder.locate(self._first.fields)
            self._first = None
        if self._snapshot is not None:
            self._write(runner, self._snapshot)
            self._snapshot = None

    def after_train(self, runner: Runner) -> None:
        """Write the last ratios."""
        if self._recorder is not None:
            self._write(runner, self._recorder.snapshot())

    def _write(self, runner: Runner, snapshot: RatioSnapshot) -> None:
        assert self._recorder is not None
        layers, flat = self._recorder.layers, snapshot.flat()
        if self._writer is None:
            path = Path(runner.work_dir, FILE_NAME)
            self._writer = RatioWriter(path, layers, runner.max_iters, self._start)
            if self._writer.set_aside:
                place, why = self._writer.set_aside
                runner.logger.info(f"{path} begins anew, the one before is {place.name}: {why}")
        self._writer.append(runner.iter, flat)
        record = from_flat(layers, np.array([runner.iter]), flat[None])
        scalars = {
            f"ratios/{part.part}/{what}/{name}": float(ratio)
            for part in part_means(record)
            for what, ratios in (("mean", part.mean), ("var", part.variance))
            for name, ratio in zip(NORMALIZERS, ratios, strict=True)
        }
        # The axis of backends that, like W&B's, do without the step.
        runner.visualizer.add_scalars({**scalars, "iter": runner.iter}, step=runner.iter)


class _FirstForward:
    """Follows the receptive fields in the next forward pass of a model.

    Attributes:
        fields: What was found, empty before.
    """

    def __init__(self, model: nn.Module) -> None:
        self.fields: dict[str, tuple[int, int] | None] = {}
        self._tracker: FieldTracker | None = None
        self._model = model
        self._handles = [
            model.register_forward_pre_hook(self._begin),
            model.register_forward_hook(self._end, always_call=True),
        ]

    def stop(self) -> None:
        """Leave the model alone."""
        for handle in self._handles:
            handle.remove()
        if self._tracker is not None:
            self._tracker.__exit__(None, None, None)
            self.fields = self._tracker.fields()
            self._tracker = None

    def _begin(self, model: nn.Module, inputs: Any) -> None:
        if self._tracker is None:
            self._tracker = FieldTracker(model).__enter__()

    def _end(self, model: nn.Module, inputs: Any, output: Any) -> None:
        self.stop()


def _is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile has made a module, or a method of one, which cannot be followed."""
    return any(
        getattr(module, "_compiled_call_impl", None) is not None
        or any(hasattr(value, "_torchdynamo_orig_callable") for value in vars(module).values())
        for module in model.modules()
    )
