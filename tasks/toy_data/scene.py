"""One generated picture: shapes placed over each other on a textured background."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from .shapes import SHAPES, outline

_TRIES_PER_OBJECT = 30
_RADIUS = (0.11, 0.27)  # of the longer image side
_CROWD_RADIUS = (0.035, 0.055)
_CROWD_SPREAD = 0.16
_CROWD_MEMBERS = (7, 12)
_LEAST_INSIDE = 0.7  # of an object's area, when it is placed
_LEAST_VISIBLE = 0.45  # of what was inside, after all later objects
_SLIVER = 6.0  # square pixels: visible parts smaller than this belong to no mask
_TELLING_COLOUR = 0.75  # share of the objects whose hue is near that of their category
_NOISE = 7.0  # standard deviation, of 255
_FINER = 8  # sub-pixels a side


@dataclass
class SceneObject:
    """One object, or one crowd of small ones.

    Attributes:
        shape: its category, one of `SHAPES`.
        drawn: everything inside the frame, in pixels, before later objects hide a part.
        visible: what remains of `drawn`.
        colour: (blue, green, red), 0 to 255.
        crowd: whether this is a group annotated as one region.
    """

    shape: str
    drawn: BaseGeometry
    visible: BaseGeometry
    colour: tuple[float, float, float]
    crowd: bool = False


def polygons(region: BaseGeometry) -> list[Polygon]:
    """The polygons of a region, without degenerate pieces and slivers."""
    parts = getattr(region, "geoms", [region])
    return [part for part in parts if isinstance(part, Polygon) and part.area >= _SLIVER]


def _colour(rng: np.random.Generator, shape: str) -> tuple[float, float, float]:
    hue = rng.uniform()
    if rng.uniform() < _TELLING_COLOUR:
        hue = SHAPES.index(shape) / len(SHAPES) + rng.normal(0, 0.04)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.7, 1), rng.uniform(0.75, 1))
    return 255 * blue, 255 * green, 255 * red


def _single(rng: np.random.Generator, shape: str, width: int, height: int) -> BaseGeometry:
    radius = rng.uniform(*_RADIUS) * max(width, height)
    centre = rng.uniform(0, width), rng.uniform(0, height)
    return outline(shape, centre, radius, rng.uniform(0.75, 1.33), rng.uniform(-20, 20))


def _group(rng: np.random.Generator, shape: str, width: int, height: int) -> BaseGeometry:
    side = max(width, height)
    middle = np.array([rng.uniform(0.25, 0.75) * width, rng.uniform(0.25, 0.75) * height])
    members = []
    for _ in range(rng.integers(*_CROWD_MEMBERS, endpoint=True)):
        x, y = middle + rng.uniform(-_CROWD_SPREAD, _CROWD_SPREAD, 2) * side
        radius = rng.uniform(*_CROWD_RADIUS) * side
        members.append(outline(shape, (x, y), radius, 1.0, rng.uniform(-20, 20)))
    return unary_union(members)


def _hide(earlier: list[SceneObject], by: BaseGeometry) -> list[BaseGeometry] | None:
    """What stays visible of each earlier object, or None where `by` would hide too much.

    A hole is refused as well, because polygons of the COCO format cannot express one.
    """
    remaining = []
    for item in earlier:
        parts = polygons(item.visible.difference(by))
        if sum(part.area for part in parts) < _LEAST_VISIBLE * item.drawn.area:
            return None
        if not item.crowd and any(part.interiors for part in parts):
            return None
        remaining.append(MultiPolygon(parts))
    return remaining


def compose(
    rng: np.random.Generator, width: int, height: int, objects: int, crowd: bool
) -> list[SceneObject]:
    """Place objects one over the other, a crowd undermost.

    Args:
        rng: source of every choice.
        width: of the frame, in pixels.
        height: of the frame, in pixels.
        objects: how many to place; fewer where the frame has no room left.
        crowd: whether to place a crowd as well.

    Returns:
        The objects from the undermost to the topmost.
    """
    frame = box(0, 0, width, height)
    scene: list[SceneObject] = []
    for as_crowd in [True] * crowd + [False] * objects:
        make = _group if as_crowd else _single
        for _ in range(_TRIES_PER_OBJECT):
            shape = SHAPES[rng.integers(len(SHAPES))]
            whole = make(rng, shape, width, height)
            drawn = whole.intersection(frame)
            remaining = _hide(scene, drawn)
            inside = sum(part.area for part in polygons(drawn))
            if inside < _LEAST_INSIDE * whole.area or remaining is None:
                continue
            for item, visible in zip(scene, remaining, strict=True):
                item.visible = visible
            scene.append(SceneObject(shape, drawn, drawn, _colour(rng, shape), as_crowd))
            break
    return scene


def coverage(region: BaseGeometry, width: int, height: int) -> np.ndarray:
    """The share of every pixel that a region covers.

    Returns:
        float32 array of shape (height, width), 0 to 1.
    """
    fine = np.zeros((height * _FINER, width * _FINER), np.uint8)
    for part in polygons(region):
        for value, rings in ((255, [part.exterior]), (0, part.interiors)):
            # OpenCV counts from the centre of the first pixel, COCO from its corner.
            corners = [np.rint(np.asarray(ring.coords) * _FINER - 0.5) for ring in rings]
            cv2.fillPoly(fine, [corner.astype(np.int32) for corner in corners], value)
    mean = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return mean.astype(np.float32) / 255


def paint(
    rng: np.random.Generator, width: int, height: int, scene: list[SceneObject]
) -> np.ndarray:
    """Draw a scene over a noisy background.

    Returns:
        uint8 array of shape (height, width, 3), channels blue, green, red.
    """
    tint = rng.uniform(50, 190) + rng.uniform(-20, 20, 3)
    clouds = cv2.resize(rng.normal(0, 16, (7, 7)), (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = tint + clouds[:, :, None]
    for item in scene:
        share = coverage(item.drawn, width, height)[:, :, None]
        canvas += share * (np.asarray(item.colour) - canvas)
    canvas += rng.normal(0, _NOISE, canvas.shape)
    return canvas.clip(0, 255).astype(np.uint8)
