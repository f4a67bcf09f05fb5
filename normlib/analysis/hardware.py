"""What a measurement ran on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def device_name(device: torch.device | str | None = None) -> str:
    """The name of a GPU, or of the processor of this machine.

    Args:
        device: A device; None for the first GPU where there is one, else the CPU.
    """
    kind = torch.device(device) if device is not None else None
    if kind is None and torch.cuda.is_available():
        kind = torch.device("cuda")
    if kind is not None and kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
