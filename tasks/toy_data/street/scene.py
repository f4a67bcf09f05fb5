"""One street with its traffic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..cityscapes_labels import IDS
from ..shapes import outline
from ..surfaces import Surface, tint
from .furniture import pole, rubbish_bin, traffic_light, traffic_sign, tree
from .people import bicycle, cyclist, motorcycle, motorcyclist, person
from .place import Place
from .setting import Setting
from .vehicles import bus, car, train, truck

_HEAVY = (truck, bus, train)
_RIDERS = (cyclist, motorcyclist)

Choice = Callable[[Place], None]


def _populate(rng: np.random.Generator, street: Setting, index: int) -> None:
    """Put traffic on the road and the sidewalks, the farthest first."""
    places: list[tuple[float, float, Choice]] = []

    def add(
        put: Choice,
        scales: tuple[float, float],
        across: tuple[float, float],
        count: int | np.integer = 1,
    ) -> None:
        """Scales are in pixels a metre of a picture of 128 rows, `across` is for both sides."""
        for _ in range(count):
            scale = np.exp(rng.uniform(*np.log(scales))) * street.unit
            places.append((scale, rng.choice((-1, 1)) * rng.uniform(*across), put))

    lane = 0.35 * street.kerb, 0.75 * street.kerb
    walk = street.kerb + 0.3, street.verge - 0.3
    edge = street.kerb + 0.2, street.kerb + 0.5
    add(tree, (5, 18), walk, rng.integers(1, 4))
    add(car, (5, 22), lane, rng.integers(2, 5))
    add(_HEAVY[index % 3], (8, 18), lane)
    add(_RIDERS[index % 2], (14, 32), lane)
    add(bicycle, (12, 28), walk, rng.integers(2))
    add(motorcycle, (12, 28), walk, rng.integers(2))
    add(person, (8, 24), (lane[1], walk[1]), rng.integers(2, 6))
    add(traffic_light, (8, 16), edge, rng.integers(1, 3))
    add(traffic_sign, (8, 16), edge, rng.integers(1, 3))
    add(pole, (8, 20), edge, rng.integers(1, 4))
    add(rubbish_bin, (8, 18), walk, rng.integers(2))
    for scale, across, put in sorted(places, key=lambda place: place[0]):
        put(Place(street.canvas, rng, street.view, across, scale))


def draw(rng: np.random.Generator, index: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        rng: source of every choice but that of `index`.
        index: one scene of three has a truck, the next a bus, the next a tram; one of two has a
            cyclist, the next a motorcyclist.
        height: in pixels; the picture is twice as wide.

    Returns:
        The picture, uint8 of shape (height, 2 height, 3), channels blue, green, red; and its label
        ids, uint8 of shape (height, 2 height).
    """
    width = 2 * height
    street = Setting(rng, width, height)
    street.paint()
    _populate(rng, street, index)
    bonnet = outline("circle", (0.5 * width, 1.04 * height), 0.18 * width, 8, 0)
    paint = Surface(tint(rng, saturation=(0, 0.4), value=(0.1, 0.4)))
    street.canvas.paint(bonnet, paint, IDS["ego vehicle"])
    rim = max(1, height // 64)
    labels = np.full_like(street.canvas.labels, IDS["out of roi"])
    labels[rim:-rim, rim:-rim] = street.canvas.labels[rim:-rim, rim:-rim]
    return street.canvas.picture(), labels
