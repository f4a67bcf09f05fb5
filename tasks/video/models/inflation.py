"""Weights of a 2-D network for its inflated form."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from torch import Tensor, nn

_NORMS = ("weight", "bias", "mean_weight", "var_weight", "running_mean", "running_var")


def inflate(state_dict: MutableMapping[str, Tensor], module: nn.Module, prefix: str = "") -> str:
    """Make the kernels of a 2-D network fit one that reaches over time, in place.

    A kernel of shape (out, in, H, W) is repeated over the T frames of its place and divided by T,
    as Carreira and Zisserman do (arXiv 1705.07750, section 2.3): a video of equal frames gives what
    the 2-D network gives for one of them, but for the frames of zeros before and after it. Norms
    are taken as they are, statistics and control parameters included.

    Args:
        state_dict: Weights; kernels of four dimensions whose places have five are replaced.
        module: The inflated network, with names of the 2-D one.
        prefix: Of its keys in ``state_dict``.

    Returns:
        One line for every convolution and norm of the module, or nothing if no kernel is of a 2-D
        network.
    """
    lines, inflated = [], 0
    for name, layer in module.named_modules():
        where = f"{prefix}{name}."
        if isinstance(layer, nn.Conv3d):
            kernel = state_dict.get(f"{where}weight")
            if kernel is None or kernel.dim() != 4:
                continue
            frames = layer.kernel_size[0]
            over_time = kernel.unsqueeze(2).expand(-1, -1, frames, -1, -1) / frames
            state_dict[f"{where}weight"] = over_time
            inflated += 1
            shapes = f"{_shape(kernel)} -> {_shape(over_time)}"
            lines.append(f"{name}: {shapes}{f', divided by {frames}' * (frames > 1)}")
        elif names := [key for key in _NORMS if _has(layer, key)]:
            found = [key for key in names if f"{where}{key}" in state_dict]
            lines.append(f"{name}: {', '.join(found) or 'nothing'}")
    return "\n".join(lines) if inflated else ""


def absent_norms(
    state_dict: MutableMapping[str, Tensor], module: nn.Module, prefix: str = ""
) -> list[str]:
    """Keys of the module's norms that ``state_dict`` does not have."""
    return [key for key in _norm_keys(module, prefix) if key not in state_dict]


def _norm_keys(module: nn.Module, prefix: str) -> Iterator[str]:
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Conv3d):
            yield from (f"{prefix}{name}.{key}" for key in _NORMS if _has(layer, key))


def _has(layer: Any, key: str) -> bool:
    return isinstance(getattr(layer, key, None), Tensor)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
