"""How the inference of a network is run and timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.input_size import InputSize
from normlib.openmmlab.norm_variants import VARIANTS

#: Data types of autocast.
AMP = ("bfloat16", "float16")


@dataclass(frozen=True)
class Settings:
    """How inference is run and timed.

    Attributes:
        variants: Keys of :data:`normlib.openmmlab.norm_variants.VARIANTS`.
        batch_sizes: Images, or clips, of a batch.
        size: Height and width of images; None for those of the config's test.
        frames: Frames of a clip; None for those of the config's test, if it has clips.
        module: Dotted name of the part to time; None for the whole.
        device: Where to run.
        threads: Of PyTorch's pool; None for as many as it has.
        rounds: Rounds that count, each of which runs all variants.
        channels_last: Memory format of weights and images.
        amp: One of :data:`AMP` for autocast; None for float32.
        keep_memory: Have a process on a CPU keep freed memory, see
            :func:`normlib.analysis.stopwatch.keep_freed_memory`.
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    batch_sizes: tuple[int, ...] = (1, 8)
    size: tuple[int, int] | None = None
    frames: int | None = None
    module: str | None = None
    device: str = "cpu"
    threads: int | None = None
    rounds: int = 15
    channels_last: bool = False
    amp: str | None = None
    keep_memory: bool = False

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return torch.device(self.device).type == "cpu"

    def placement(self, size: InputSize) -> dict[str, Any]:
        """Device and memory format, as ``to`` of a network and of its images takes them."""
        last = torch.channels_last if size.frames is None else torch.channels_last_3d
        layout = dict(memory_format=last) if self.channels_last else {}
        return dict(device=self.device, **layout)

    def check(self) -> None:
        """Raise a ConfigError, which names the option of the command, for what cannot be."""
        for name in ("rounds", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} is {value}; it must be 1 or more")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            sizes = " ".join(map(str, self.batch_sizes))
            raise ConfigError(f"--batch-sizes is {sizes}; all must be 1 or more")
        if self.amp not in (None, *AMP):
            raise ConfigError(f"--amp is {self.amp!r}; it must be one of {', '.join(AMP)}")
        strangers = [name for name in self.variants if name not in VARIANTS]
        if strangers or not self.variants:
            raise ConfigError(f"--norms {' '.join(strangers)}: variants are {', '.join(VARIANTS)}")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"--device {self.device}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Kind and first line of an error, which may be pages long."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
