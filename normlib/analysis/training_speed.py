"""Time of the training step of a whole network with different norms, interleaved."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import normlib
from normlib.analysis.layer_peers import check_native
from normlib.analysis.layer_speed import UNAVAILABLE, Case, backend_context, reason, threads
from normlib.analysis.stopwatch import ratio, time_interleaved

NormLayer = Callable[[int], nn.Module]
#: Norms by name: the layer and, for switchable normalisation, the backend.
NORMS: dict[str, tuple[NormLayer, str | None]] = {
    "nn.BatchNorm2d": (nn.BatchNorm2d, None),
    "SN reference": (normlib.SwitchNorm, "reference"),
    "SN eager": (normlib.SwitchNorm, "eager"),
    "SN native": (normlib.SwitchNorm, "native"),
}
DEFAULT = ("nn.BatchNorm2d", "SN eager", "SN native")


@dataclass(frozen=True)
class TrainingRow:
    """The network with one norm.

    Attributes:
        norm: Name in :data:`NORMS`.
        milliseconds: Median time of a step.
        images_per_second: Batch size divided by it.
        to_batch_norm: Median over rounds of the time divided by that with nn.BatchNorm2d.
    """

    norm: str
    milliseconds: float
    images_per_second: float
    to_batch_norm: float


@dataclass(frozen=True)
class Training:
    """The network with all norms.

    Attributes:
        model: Name of the network.
        case: Its input. Other dtypes than float32 are those of autocast.
        rows: One for each norm.
        left_out: Norms that could not be measured, and why.
    """

    model: str
    case: Case
    rows: list[TrainingRow]
    left_out: dict[str, str]


def measure_training(
    model: Callable[[NormLayer], nn.Module],
    case: Case,
    norms: Collection[str] = DEFAULT,
    rounds: int = 5,
    name: str = "model",
) -> Training:
    """Time forward, backward and a step of SGD with momentum, on random images.

    Args:
        model: Makes the classifier from what makes its norms.
        case: The images, of shape (N, 3, H, W).
        norms: Names in :data:`NORMS`; nn.BatchNorm2d is measured whether named or not.
        rounds: Rounds after one for warming up (five on a GPU).
        name: Name of the model.
    """
    x = case.tensor(0).float()
    steps, left_out = {}, {}
    with threads(case.threads):
        for norm in NORMS:
            if norm in {*norms, "nn.BatchNorm2d"}:
                try:
                    steps[norm] = _Step(model, norm, x, case)
                    steps[norm]()
                except UNAVAILABLE as error:
                    steps.pop(norm, None)
                    left_out[norm] = reason(error)
        times = time_interleaved(steps, x.device, rounds, warmup=5 if x.is_cuda else 1)
    medians = {norm: statistics.median(seconds) for norm, seconds in times.items()}
    rows = [
        TrainingRow(
            norm,
            1e3 * medians[norm],
            len(x) / medians[norm],
            ratio(times[norm], times["nn.BatchNorm2d"]),
        )
        for norm in steps
    ]
    return Training(name, case, rows, left_out)


class _Step:
    """A network in training."""

    def __init__(
        self, model: Callable[[NormLayer], nn.Module], norm: str, x: Tensor, case: Case
    ) -> None:
        layer, self.backend = NORMS[norm]
        if self.backend == "native":
            check_native(x)
        with backend_context(self.backend):
            network = model(layer).to(case.device).train()
        self.model = network.to(memory_format=case.memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.x, self.labels = x, torch.arange(len(x), device=x.device)
        self.autocast = torch.autocast(
            x.device.type, getattr(torch, case.dtype), enabled=case.dtype != "float32"
        )

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with backend_context(self.backend):
            with self.autocast:
                loss = F.cross_entropy(self.model(self.x), self.labels)
            loss.backward()
        self.optimizer.step()
