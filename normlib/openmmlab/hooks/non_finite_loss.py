"""An end, with all that is known about it, to a training whose loss is no number any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from normlib.openmmlab.amp import CPUAmpOptimWrapper
from normlib.openmmlab.errors import ConfigError, TrainingError
from normlib.openmmlab.hooks.checkpoint_times import saves_after_iter
from normlib.openmmlab.step_guard import StepGuard
from normlib.openmmlab.wrappers import bare_model

_GRAD_NORM = "train/grad_norm"


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops a run whose loss is NaN or infinite, on all ranks, before anything of it is saved.

    The losses stay on the device and are read every ``interval`` iterations, before a checkpoint or
    an evaluation and at the end of an epoch, so that no iteration waits for them. The error tells
    of the first bad iteration of any rank: its losses, the loss before, learning rates, and the
    norm of the gradient where ``optim_wrapper.clip_grad`` lets mmengine measure it. Gradients alone
    may be infinite, as mixed precision skips such steps. Whether the last step has left weights
    that are not finite, which the next loss would show, is looked at before a checkpoint (also that
    of a run that is asked to end) or an evaluation.

    With ``max_skips`` iterations with such a loss are left out instead, see
    :class:`normlib.openmmlab.step_guard.StepGuard`: the log tells of each, and more in a row than
    so many stop the run. Every iteration then waits for its loss.

    Args:
        interval: Iterations between looks at the losses.
        max_skips: How many iterations in a row may be left out; 0 stops at the first.

    Raises:
        ConfigError: ``interval`` is not positive, ``max_skips`` is negative, the model returns no
            ``loss``, or the optimizer cannot skip.
        TrainingError: A loss, or a weight about to be saved, is not finite.
    """

    # Before whatever saves, averages or evaluates.
    priority = "ABOVE_NORMAL"

    def __init__(self, interval: int = 10, max_skips: int = 0) -> None:
        for name, value, least in (("interval", interval, 1), ("max_skips", max_skips, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f"NonFiniteLossHook: {name} is {value!r}; it must be {least} or more"
                )
        self.interval = interval
        self.max_skips = max_skips
        self._guard: StepGuard | None = None
        self._skips = 0
        self._unread: list[_Step] = []
        self._last: _Step | None = None

    def before_train(self, runner: Runner) -> None:
        """Forget an earlier training."""
        self._unread, self._last, self._skips = [], None, 0
        if self.max_skips:
            self._guard = StepGuard(runner.optim_wrapper, bare_model(runner.model))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep what an iteration that is left out would change."""
        if self._guard is not None:
            self._guard.keep()

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer as it was."""
        if self._guard is not None:
            self._guard.remove()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep the losses, and read them where it is time to."""
        step = _Step.of(runner, outputs)
        if self._guard is not None and self._guard.has_skipped:
            self._skip(runner, step)
        else:
            self._skips = 0
            self._unread.append(step)
        saves = saves_after_iter(runner)
        if (runner.iter + 1) % self.interval == 0 or saves:
            self._read_losses(runner)
        if saves:
            self._check_weights(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Look before the evaluation, after which the best checkpoint may be saved."""
        self.check(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look before the checkpoint of the epoch."""
        self.check(runner)

    def check(self, runner: Runner) -> None:
        """Look at the losses that were not read yet, and at the weights; a collective call.

        Raises:
            TrainingError: One of them is not finite; on all ranks alike.
        """
        self._read_losses(runner)
        self._check_weights(runner)

    def _skip(self, runner: Runner, step: _Step) -> None:
        """Tell of an iteration that was left out, or stop where it is one too many."""
        bad_here = not bool(step.losses["loss"].isfinite())
        before = self._unread[-1] if self._unread else self._last
        problem = _about_loss(runner, step, before, bad_here)
        self._skips += 1
        if self._skips > self.max_skips:
            _stop(runner, f"{self._skips} iterations in a row could not be used: {problem}")
        if dist.is_main_process():
            runner.logger.warning(
                f"left out an iteration ({self._skips} of at most {self.max_skips} in a row): "
                f"{problem}"
            )

    def _read_losses(self, runner: Runner) -> None:
        steps, self._unread = self._unread, []
        if not steps:
            return
        losses = torch.stack([step.losses["loss"] for step in steps])
        places = torch.arange(len(steps), device=losses.device)
        own = torch.where(losses.isfinite(), len(steps), places).min()
        first = own.clone()
        dist.all_reduce(first, op="min")
        place = int(first)
        if place < len(steps):
            before = steps[place - 1] if place else self._last
            _stop(runner, _about_loss(runner, steps[place], before, int(own) == place))
        self._last = steps[-1]

    def _check_weights(self, runner: Runner) -> None:
        if self._last is None:
            return  # an evaluation outside a training
        weights = dict(bare_model(runner.model).named_parameters())
        finite = torch.stack([value.detach().isfinite().all() for value in weights.values()])
        everywhere = finite.all().int()
        dist.all_reduce(everywhere, op="min")
        if not everywhere:
            names = [name for name, good in zip(weights, finite.tolist(), strict=True) if not good]
            _stop(runner, _about_weights(runner, self._last, names))


@dataclass(frozen=True)
class _Step:
    """One iteration.

    Attributes:
        number: Counted from 1.
        losses: What the model returned, scalars on the device; ``loss`` is what was minimised.
        rates: Learning rates of the parameter groups, each once.
        grad_norm: Of the gradient before clipping; None where nobody has measured it.
    """

    number: int
    losses: dict[str, Tensor]
    rates: list[float]
    grad_norm: float | None

    @classmethod
    def of(cls, runner: Runner, outputs: Any) -> _Step:
        if not isinstance(outputs, Mapping) or "loss" not in outputs:
            found = ", ".join(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
            raise ConfigError(
                "NonFiniteLossHook reads outputs['loss'] of a training step, and the model "
                f"returned {found or 'nothing'}; take the hook out of the config"
            )
        losses = {name: _scalar(value) for name, value in outputs.items()}
        rates = {rate for group in runner.optim_wrapper.get_lr().values() for rate in group}
        norms = runner.message_hub.log_scalars.get(_GRAD_NORM)
        norm = norms.current() if norms is not None else None
        return cls(runner.iter + 1, losses, sorted(rates), norm)


def _scalar(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().float()


def _stop(runner: Runner, problem: str) -> None:
    mixed = isinstance(runner.optim_wrapper, (AmpOptimWrapper, CPUAmpOptimWrapper))
    amp = "train without --amp, " if mixed else ""
    message = (
        f"the training has diverged: {problem}. Nothing was saved since. Lower the learning rate, "
        f"warm it up for longer, {amp}or look through the data with tools/check_data.py; --resume "
        "goes on from the last checkpoint of the work directory"
    )
    if dist.is_main_process():
        runner.logger.error(message)
    raise TrainingError(message)


def _about_loss(runner: Runner, step: _Step, before: _Step | None, here: bool) -> str:
    """The same text on every rank, with the losses of the first rank that has a bad one."""
    losses = {name: float(value) for name, value in step.losses.items()}
    earlier = float(before.losses["loss"]) if before is not None else None
    ranks = dist.all_gather_object((here, losses, earlier))
    bad = [rank for rank, (is_bad, *_) in enumerate(ranks) if is_bad]
    _, losses, earlier = ranks[bad[0]]
    where = _place(runner, step)
    if len(ranks) > 1:
        where += f", first on rank {', '.join(map(str, bad))} of {len(ranks)}"
    loss = losses.pop("loss")
    parts = [f"{name} {value:.6g}" for name, value in losses.items()]
    parts.append("no loss before it" if earlier is None else f"the loss before it {earlier:.6g}")
    return (
        f"the loss is {loss:g} at {where} ({', '.join(parts)}), learning rate "
        f"{_listed(step.rates)}; {_gradient(step, before)}"
    )


def _about_weights(runner: Runner, step: _Step, names: list[str]) -> str:
    """The same text on every rank."""
    ranks = dist.all_gather_object((names, float(step.losses["loss"])))
    names, loss = next(part for part in ranks if part[0])
    more = f" and {len(names) - 1} more weights" if len(names) > 1 else ""
    return (
        f"{names[0]}{more} are NaN or infinite after {_place(runner, step)}, whose loss was "
        f"{loss:.6g}, learning rate {_listed(step.rates)}; {_gradient(step, None)}"
    )


def _place(runner: Runner, step: _Step) -> str:
    place = f"iteration {step.number} of {runner.max_iters}"
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        length = len(runner.train_loop.dataloader)
        place += f", epoch {(step.number - 1) // length + 1} of {runner.max_epochs}"
    return place


def _gradient(step: _Step, before: _Step | None) -> str:
    if step.grad_norm is None:
        return (
            "the gradient was not measured: with --cfg-options optim_wrapper.clip_grad.max_norm=inf"
            " its norm is in the log, and with a number for inf it is limited to that"
        )
    earlier = f", {before.grad_norm:.6g} before" if before and before.grad_norm is not None else ""
    return f"norm of the gradient {step.grad_norm:.6g}{earlier}"


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
