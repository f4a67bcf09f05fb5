"""Small textured shapes with an outline, which can be laid over a picture."""

from __future__ import annotations

import math

import numpy as np
from shapely.affinity import rotate
from shapely.geometry import box

from .scene import coverage
from .shapes import SHAPES, outline
from .surfaces import Surface, fill, tint

_TEXTURES = ("plain", "blobs", "leaves")  # none repeats, so that a step cannot look like another
_STRETCH = (0.6, 1.0)  # width over height
_SPLIT = (-0.3, 0.3)  # of the radius: where the second colour starts
_STRENGTH = (0.0, 30.0)
_BRIGHT, _DARK = (0.8, 1.0), (0.15, 0.5)


def random_sprite(rng: np.random.Generator, radius: float) -> np.ndarray:
    """A shape in two colours, one bright and one dark, turned anyhow.

    Args:
        rng: source of every other choice.
        radius: of a circle around the shape, in pixels.

    Returns:
        float32 array of shape (side, side, 4), where `side` is the diameter and a margin: blue,
        green and red in 0 to 255, multiplied by the opacity, and the opacity in 0 to 1.
    """
    side = math.ceil(2 * radius) + 2
    middle, stretch, turn = side / 2, rng.uniform(*_STRETCH), rng.uniform(0, 360)
    shape = SHAPES[rng.integers(len(SHAPES))]
    # The longer half-axis of `outline` is its radius / sqrt(stretch).
    centre = (middle, middle)
    whole = outline(shape, centre, radius * math.sqrt(stretch), stretch, turn)
    edge = middle + rng.uniform(*_SPLIT) * radius
    half = rotate(box(-side, edge, 2 * side, 2 * side), rng.uniform(0, 360), origin=centre)
    first, second = (_surface(rng, value, side) for value in rng.permutation([_BRIGHT, _DARK]))
    picture = fill(rng, first, side, side)
    share = coverage(half.intersection(whole), side, side)[:, :, None]
    picture += share * (fill(rng, second, side, side) - picture)
    opacity = coverage(whole, side, side)[:, :, None]
    return np.concatenate([picture.clip(0, 255) * opacity, opacity], axis=2).astype(np.float32)


def _surface(rng: np.random.Generator, value: np.ndarray, side: int) -> Surface:
    least, most = value.tolist()
    texture = _TEXTURES[rng.integers(len(_TEXTURES))]
    return Surface(tint(rng, value=(least, most)), texture, rng.uniform(*_STRENGTH), side / 6)
