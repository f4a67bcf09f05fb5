"""What stands and hangs in rooms and parks of the generated ADE20K set.

Each function paints one thing of random colours on a canvas; places and lengths are in pixels.
"""

from __future__ import annotations

import numpy as np
from shapely.geometry import Polygon, box
from shapely.ops import unary_union

from .ade20k_names import NAMES
from .canvas import Canvas
from .shapes import outline
from .surfaces import BLACK, WHITE, Surface, foliage, mixed, tint

OTHER = 0
LABELS = {
    name: NAMES.index(name) + 1
    for name in (
        "wall", "building", "sky", "floor", "tree", "grass", "door", "painting", "ball", "flag"
    )
}  # fmt: skip


def paint_ball(canvas: Canvas, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """A ball around (x, y)."""
    colour = tint(rng)
    shine = x - 0.3 * radius, y - 0.3 * radius
    for centre, part, surface in (
        ((x, y), radius, Surface(colour)),
        (shine, 0.4 * radius, Surface(mixed(colour, WHITE, 0.5))),
    ):
        canvas.paint(outline("circle", centre, part, 1, 0), surface, LABELS["ball"])


def paint_thing(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, radius: float
) -> None:
    """A cross or triangle around (x, y), which belongs to no class."""
    shape = ("cross", "triangle")[rng.integers(2)]
    region = outline(shape, (x, y), radius, rng.uniform(0.8, 1.25), rng.uniform(-20, 20))
    canvas.paint(region, Surface(tint(rng)), OTHER)


def paint_flag(canvas: Canvas, rng: np.random.Generator, x: float, y: float, height: float) -> None:
    """A tricolour on a pole with its foot at (x, y); the pole belongs to no class used here."""
    top, wide, deep = y - height, 0.5 * height, 0.42 * height
    half = max(0.9, 0.025 * height)
    canvas.paint(box(x - half, top, x + half, y), Surface(tint(rng, saturation=(0, 0.2))), OTHER)
    wave = rng.uniform(-0.1, 0.1) * height
    hue = rng.uniform()
    for band in range(3):
        low, high = top + band * deep / 3, top + (band + 1) * deep / 3
        cloth = [(x, low), (x + wide, low + wave), (x + wide, high + wave), (x, high)]
        colour = tint(rng, (hue + band / 3, hue + band / 3))
        canvas.paint(Polygon(cloth), Surface(colour), LABELS["flag"])


def paint_tree(canvas: Canvas, rng: np.random.Generator, x: float, y: float, height: float) -> None:
    """A tree with its foot at (x, y)."""
    trunk = box(x - 0.05 * height, y - 0.5 * height, x + 0.05 * height, y)
    bark = tint(rng, (0.05, 0.1), (0.3, 0.6), (0.25, 0.45))
    canvas.paint(trunk, Surface(bark), LABELS["tree"])
    crowns = []
    for _ in range(5):
        right, up, radius = height * rng.uniform((-0.2, 0.55, 0.18), (0.2, 0.85, 0.26))
        crowns.append(outline("circle", (x + right, y - up), radius, rng.uniform(0.8, 1.25), 0))
    canvas.paint(unary_union(crowns), foliage(rng), LABELS["tree"])


def paint_door(canvas: Canvas, rng: np.random.Generator, x: float, y: float, height: float) -> None:
    """A door with two panels, its lower left corner at (x, y)."""
    wide = 0.45 * height
    colour = tint(rng, saturation=(0.1, 0.7), value=(0.35, 0.9))
    canvas.paint(box(x, y - height, x + wide, y), Surface(colour), LABELS["door"])
    panel = Surface(mixed(colour, BLACK, 0.35))
    for low, high in ((0.1, 0.45), (0.55, 0.92)):
        inner = box(x + 0.2 * wide, y - high * height, x + 0.8 * wide, y - low * height)
        canvas.paint(inner, panel, LABELS["door"])


def paint_painting(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, side: float
) -> None:
    """A blotchy painting in a dark frame, its upper left corner at (x, y)."""
    wide, high = side * rng.uniform(0.7, 1.3, 2)
    frame = tint(rng, saturation=(0, 0.5), value=(0.1, 0.4))
    canvas.paint(box(x, y, x + wide, y + high), Surface(frame), LABELS["painting"])
    edge = 0.12 * side
    inner = box(x + edge, y + edge, x + wide - edge, y + high - edge)
    canvas.paint(inner, Surface(tint(rng), "leaves", 60, 0.25 * side), LABELS["painting"])
