"""Rooms and parks with the labels of ADE20K's scene parsing benchmark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from shapely.geometry import Polygon, box

from .ade20k_things import (
    LABELS,
    OTHER,
    paint_ball,
    paint_door,
    paint_flag,
    paint_painting,
    paint_thing,
    paint_tree,
)
from .canvas import Canvas
from .surfaces import GREEN, Surface, tint


def _room(canvas: Canvas, rng: np.random.Generator, width: int, height: int) -> None:
    unit = min(width, height)
    paper = Surface(
        tint(rng, saturation=(0.05, 0.45), value=(0.45, 0.95)), "stripes", 12, 0.07 * unit
    )
    canvas.paint(box(0, 0, width, height), paper, LABELS["wall"])
    left, right = height * (rng.uniform(0.62, 0.8) + rng.uniform(-0.06, 0.06, 2))
    boards = Surface(
        tint(rng, saturation=(0.05, 0.55), value=(0.35, 0.9)), "planks", 25, 0.06 * unit
    )
    ground = Polygon([(0, left), (width, right), (width, height), (0, height)])
    skirting = max(1.5, 0.025 * unit)
    strip = Polygon([(0, left - skirting), (width, right - skirting), (width, right), (0, left)])
    canvas.paint(ground, boards, LABELS["floor"])
    canvas.paint(strip, Surface(tint(rng, saturation=(0, 0.3))), OTHER)

    halves = [0.0, 0.5]
    rng.shuffle(halves)
    x = (halves[0] + rng.uniform(0.05, 0.2)) * width
    paint_door(canvas, rng, x, min(left, right) + 0.02 * unit, rng.uniform(0.5, 0.62) * unit)
    for _ in range(rng.integers(1, 3)):
        x = (halves[1] + rng.uniform(0.02, 0.22)) * width
        y = rng.uniform(0.06, 0.3) * height
        paint_painting(canvas, rng, x, y, rng.uniform(0.18, 0.28) * unit)
    low = max(left, right)
    if rng.uniform() < 0.5:
        x, y = rng.uniform(0.1, 0.8) * width, rng.uniform(low, height)
        paint_flag(canvas, rng, x, y, rng.uniform(0.45, 0.65) * unit)
    _scatter(canvas, rng, low, width, height)


def _park(canvas: Canvas, rng: np.random.Generator, width: int, height: int) -> None:
    unit = min(width, height)
    air = Surface(
        tint(rng, (0.5, 0.7), (0, 0.5), (0.6, 1)), "blobs", rng.uniform(4, 14), 0.35 * unit
    )
    canvas.paint(box(0, 0, width, height), air, LABELS["sky"])
    horizon = rng.uniform(0.5, 0.7) * height
    for _ in range(rng.integers(1, 4)):
        x, wide = rng.uniform(-0.1, 0.8) * width, rng.uniform(0.2, 0.4) * unit
        top = horizon - rng.uniform(0.2, 0.45) * unit
        walls = tint(rng, saturation=(0.05, 0.45), value=(0.45, 0.95))
        facade = Surface(walls, "windows", 55, rng.uniform(0.07, 0.1) * unit)
        canvas.paint(box(x, top, x + wide, height), facade, LABELS["building"])
    across = np.linspace(0, width, 9)
    waves = 0.03 * unit * np.sin(across / width * rng.uniform(3, 9) + rng.uniform(0, 6))
    edge = list(zip(across, horizon + waves, strict=True))
    lawn = Surface(tint(rng, GREEN, (0.3, 0.8), (0.35, 0.7)), "grain", 22)
    canvas.paint(Polygon([*edge, (width, height), (0, height)]), lawn, LABELS["grass"])
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(0, 1) * width, horizon + rng.uniform(0.05, 0.2) * unit
        paint_tree(canvas, rng, x, y, rng.uniform(0.4, 0.65) * unit)
    if rng.uniform() < 0.7:
        x, y = rng.uniform(0.05, 0.75) * width, horizon + rng.uniform(0.1, 0.25) * unit
        paint_flag(canvas, rng, x, y, rng.uniform(0.45, 0.7) * unit)
    _scatter(canvas, rng, horizon + 0.08 * unit, width, height)


def _scatter(canvas: Canvas, rng: np.random.Generator, top: float, width: int, height: int) -> None:
    """Put balls and things of no class below a height."""
    unit = min(width, height)
    for make in [paint_ball] * int(rng.integers(1, 3)) + [paint_thing] * int(rng.integers(1, 3)):
        x, y = rng.uniform(0.05, 0.95) * width, rng.uniform(top, 0.97 * height)
        make(canvas, rng, x, y, rng.uniform(0.06, 0.11) * unit)


SCENES: dict[str, Callable[[Canvas, np.random.Generator, int, int], None]] = {
    "living_room": _room,
    "park": _park,
}


def draw(
    rng: np.random.Generator, scene: str, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        rng: source of every choice.
        scene: one of `SCENES`.
        width: in pixels.
        height: in pixels.

    Returns:
        The picture, uint8 of shape (height, width, 3), channels blue, green, red; and its labels,
        uint8 of shape (height, width), 0 for what has no class and 1 to 150.
    """
    canvas = Canvas(rng, width, height, OTHER)
    SCENES[scene](canvas, rng, width, height)
    return canvas.picture(), canvas.labels
