"""What a network's inference costs with several norms, in one interleaved run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from normlib.analysis.layer_speed import threads
from normlib.analysis.stopwatch import keep_freed_memory, ratio, time_interleaved
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.inference_settings import Settings, first_line
from normlib.openmmlab.input_size import InputSize, input_size
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.network import WholeModel, build_network, part_of
from normlib.openmmlab.norm_variants import EQUALS, Variants, make_variants
from normlib.openmmlab.two_stage import TwoStage, is_two_stage

#: Largest difference of outputs that are to be equal, relative to the largest magnitude in them.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class VariantSpeed:
    """A variant on batches of one size.

    Attributes:
        variant: Its name.
        batch_size: Images of a batch.
        milliseconds: Median over rounds of the time from the call until the outputs are there.
        low: 10th percentile of it.
        high: 90th percentile.
        images_per_second: Batch size divided by the median.
        to_first: Median over rounds of the time divided by that of the first variant.
    """

    variant: str
    batch_size: int
    milliseconds: float
    low: float
    high: float
    images_per_second: float
    to_first: float


@dataclass(frozen=True)
class InferenceSpeed:
    """All variants on all batch sizes.

    Attributes:
        config: Path of the config.
        checkpoint: The weights; None for a network that has learned nothing.
        settings: How it was run.
        network: Class of what was timed.
        boxes: Boxes an image that the second stage of a detector works on; None without one.
        size: Of an image, or a clip.
        threads: Of PyTorch's pool.
        learned: Whether ratios come from the checkpoint.
        memory_kept: Whether the process kept freed memory.
        norms: Number of norm layers by kind, for each variant.
        unfolded: For each variant, layers on batch statistics that could not be folded, and why.
        left_out: Variants that the network does not have, and why.
        differences: For each pair of variants that compute the same, largest difference of their
            outputs in float32, relative to the largest magnitude in an output.
        rows: Times.
    """

    config: str
    checkpoint: str | None
    settings: Settings
    network: str
    boxes: int | None
    size: InputSize
    threads: int
    learned: bool
    memory_kept: bool
    norms: dict[str, dict[str, int]]
    unfolded: dict[str, dict[str, str]]
    left_out: dict[str, str]
    differences: dict[str, float]
    rows: list[VariantSpeed] = field(default_factory=list)


def measure_inference_speed(
    config: str,
    checkpoint: str | None = None,
    settings: Settings | None = None,
    options: dict[str, Any] | None = None,
) -> InferenceSpeed:
    """Time the inference of a config's network with several norms, on random images.

    Timed is what the network computes from normalised images up to what its heads return, as with
    ``mode='tensor'``; :class:`normlib.openmmlab.two_stage.TwoStage` says what that is in detectors
    of two stages. Before, variants that compute the same are compared.

    Args:
        config: Path of the config; its data need not be there.
        checkpoint: A path, a URL or a model zoo name; None for a network that has learned nothing.
        settings: How to run and time; None for the defaults.
        options: Dotted config keys and their values.

    Raises:
        ConfigError: If the config, a setting or an option asks for what cannot be done, or if
            variants differ that should not.
        CheckpointError: If weights are missing or do not fit.
    """
    settings = settings or Settings()
    settings.check()
    cfg = load_config(config, options, needs_data=False)
    network = build_network(cfg, checkpoint)
    size = input_size(cfg, network, settings.size, settings.frames)
    part = _part(network, settings.module, size)
    torch.manual_seed(0)
    example = torch.randn(size.shape(1))
    _try(part, example, config, settings.module)
    variants = make_variants(part, example, settings.variants, checkpoint is not None)
    boxes = len(part.boxes) if isinstance(part, TwoStage) else None
    placement = settings.placement(size)
    with threads(settings.threads or torch.get_num_threads()), torch.no_grad():
        speed = InferenceSpeed(
            config,
            checkpoint,
            settings,
            type(network if settings.module is None else part).__name__,
            boxes,
            size,
            torch.get_num_threads(),
            variants.learned,
            settings.on_cpu and settings.keep_memory and keep_freed_memory(),
            {name: variant.norms for name, variant in variants.made.items()},
            {name: variant.unfolded for name, variant in variants.made.items()},
            variants.left_out,
            _differences(variants, example),
        )
        for variant in variants.made.values():
            variant.model.to(**placement)
        for batch_size in settings.batch_sizes:
            images = torch.randn(size.shape(batch_size)).to(**placement)
            speed.rows.extend(_times(variants, images, settings.amp, settings.rounds))
    return speed


def _part(network: nn.Module, module: str | None, size: InputSize) -> nn.Module:
    if module is not None:
        return part_of(network, module)
    if is_two_stage(network):
        return TwoStage(network, (size.height, size.width))
    return WholeModel(network)


@torch.no_grad()
def _try(part: nn.Module, example: Tensor, config: str, module: str | None) -> None:
    try:
        part.eval()(example)
    except Exception as error:
        what = f"{config}{f', {module}' if module else ''}"
        raise ConfigError(
            f"{what} does not run on one tensor of shape {tuple(example.shape)}: "
            f"{first_line(error)}. Give the size that it is made for with --size and --frames, or "
            "time a part that maps images to tensors, with --module backbone"
        ) from error


def _differences(variants: Variants, example: Tensor) -> dict[str, float]:
    """How far variants are apart that compute the same."""
    differences = {}
    for pair in EQUALS:
        if variants.made.keys() >= set(pair):
            first, second = (tree_leaves(variants.made[name].model(example)) for name in pair)
            worst = max(map(_difference, first, second))
            differences[" and ".join(pair)] = worst
            if not worst <= TOLERANCE:
                raise ConfigError(
                    f"{pair[0]} and {pair[1]} should compute the same, and differ by {worst:.1e} "
                    f"of their largest output, more than {TOLERANCE:.0e}: the network draws random "
                    "numbers, or overflows with these norms; leave one out with --norms"
                )
    return differences


def _difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / first.abs().max().clamp(min=1e-30))


def _times(variants: Variants, images: Tensor, amp: str | None, rounds: int) -> list[VariantSpeed]:
    steps = {
        name: partial(_run, variant.model, images, amp) for name, variant in variants.made.items()
    }
    # What a caller waits for, launches of kernels included.
    return _rows(time_interleaved(steps, images.device, rounds, host=True), len(images))


def _run(model: nn.Module, images: Tensor, amp: str | None) -> object:
    dtype = None if amp is None else getattr(torch, amp)
    autocast: AbstractContextManager[object] = torch.autocast(
        images.device.type, dtype, enabled=amp is not None
    )
    with autocast:
        return model(images)


def _rows(times: Mapping[str, list[float]], batch_size: int) -> list[VariantSpeed]:
    first = next(iter(times.values()))
    rows = []
    for name, seconds in times.items():
        shares = torch.tensor([0.5, 0.1, 0.9], dtype=torch.float64)
        quantiles = torch.tensor(seconds, dtype=torch.float64).quantile(shares)
        median, low, high = (1e3 * quantiles).tolist()
        rate = 1e3 * batch_size / median
        rows.append(VariantSpeed(name, batch_size, median, low, high, rate, ratio(seconds, first)))
    return rows
