"""Colours and textures of painted regions."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]

BLACK, WHITE = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)
GREEN = (0.2, 0.38)  # hues


@dataclass(frozen=True)
class Surface:
    """How a region looks.

    Attributes:
        colour: (blue, green, red), 0 to 255.
        texture: one of `TEXTURES`.
        strength: by how much the texture changes the colour, of 255.
        period: length after which the texture repeats, or of its blobs, in pixels.
    """

    colour: Colour
    texture: str = "plain"
    strength: float = 0.0
    period: float = 8.0


def tint(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0, 1),
    saturation: tuple[float, float] = (0.6, 1),
    value: tuple[float, float] = (0.6, 1),
) -> Colour:
    """A random colour, each part of it between two bounds in 0 to 1 (a hue may pass beyond 1)."""
    parts = [rng.uniform(*bounds) for bounds in (hue, saturation, value)]
    red, green, blue = colorsys.hsv_to_rgb(parts[0] % 1.0, *parts[1:])
    return 255 * blue, 255 * green, 255 * red


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """A colour with some share of another one in it."""
    blue, green, red = (a + share * (b - a) for a, b in zip(colour, other, strict=True))
    return blue, green, red


def foliage(rng: np.random.Generator) -> Surface:
    """Leaves of any green."""
    return Surface(tint(rng, GREEN, (0.3, 0.8), (0.27, 0.6)), "leaves", 35, 4)


def _blobs(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    rows, columns = int(height / period) + 3, int(width / period) + 3
    return cv2.resize(
        rng.normal(0, 0.7, (rows, columns)), (width, height), interpolation=cv2.INTER_CUBIC
    )


def _leaves(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    return np.tanh(3 * _blobs(rng, width, height, period))


def _grain(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    return rng.normal(0, 0.7, (height, width))


def _plain(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    return np.zeros((height, width))


def _phases(
    rng: np.random.Generator, width: int, height: int, period: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where every column and every row is, counted in periods from a random start."""
    across, down = rng.uniform(0, 1, 2)
    return (np.arange(width) / period + across)[None], (np.arange(height) / period + down)[:, None]


def _stripes(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    across, down = _phases(rng, width, height, period)
    return np.where(across % 1 < 0.5, 1.0, -1.0) + 0 * down


def _planks(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    across, down = _phases(rng, width, height, period)
    return np.where(down % 1 < 0.3, -1.0, 0.4) + 0 * across


def _bricks(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    across, down = _phases(rng, width, height, period)
    shifted = across / 2 + np.floor(down) / 2
    return np.where((down % 1 < 0.3) | (shifted % 1 < 0.15), 1.0, -0.3)


def _windows(rng: np.random.Generator, width: int, height: int, period: float) -> np.ndarray:
    across, down = _phases(rng, width, height, period)
    return np.where((across % 1 < 0.5) & (down % 1 < 0.6), -1.0, 0.3)


TEXTURES: dict[str, Callable[[np.random.Generator, int, int, float], np.ndarray]] = {
    "blobs": _blobs,
    "bricks": _bricks,
    "grain": _grain,
    "leaves": _leaves,
    "plain": _plain,
    "planks": _planks,
    "stripes": _stripes,
    "windows": _windows,
}


def fill(rng: np.random.Generator, surface: Surface, width: int, height: int) -> np.ndarray:
    """A rectangle of a surface.

    Returns:
        Array of shape (height, width, 3), channels blue, green, red, not limited to 0 to 255.
    """
    texture = TEXTURES[surface.texture](rng, width, height, surface.period)
    return np.asarray(surface.colour) + surface.strength * texture[:, :, None]
