"""People on foot and on two wheels, and what they ride."""

from __future__ import annotations

from ..surfaces import Surface, tint
from .place import Part, Place

_BLACK = Surface((28, 28, 28))


def _upper_body(place: Place, x: float, hip: float) -> list[Part]:
    clothes = Surface(tint(place.rng, saturation=(0.1, 0.9), value=(0.25, 0.95)))
    skin = Surface(tint(place.rng, (0.04, 0.09), (0.3, 0.6), (0.45, 0.95)))
    shoulder = hip + 0.6
    torso = [(x - 0.2, hip), (x + 0.2, hip), (x + 0.27, shoulder), (x - 0.27, shoulder)]
    return [
        (place.polygon(torso), clothes),
        (place.plate("circle", x, hip + 0.76, 0.16), skin),
    ]


def person(place: Place) -> None:
    """Somebody who stands or walks."""
    stride = place.rng.uniform(0.05, 0.3)
    trousers = Surface(tint(place.rng, saturation=(0, 0.6), value=(0.1, 0.5)))
    legs = [(place.line(0.2, [(x, 0), (x / 3, 0.95)]), trousers) for x in (-stride, stride)]
    place.paint("person", [*legs, *_upper_body(place, 0, 0.9)])


def _rider(place: Place) -> None:
    leg = place.line(0.2, [(-0.05, 0.9), (0.2, 0.65), (0, 0.3)])
    place.paint("rider", [(leg, _BLACK), *_upper_body(place, -0.05, 0.85)])


def bicycle(place: Place) -> None:
    """A bicycle, seen from the side."""
    paint = Surface(tint(place.rng))
    wheels = [
        place.plate("circle", x, 0.36, 0.38).difference(place.plate("circle", x, 0.36, 0.24))
        for x in (-0.52, 0.52)
    ]
    frame = [(-0.52, 0.36), (-0.15, 0.8), (0.4, 0.8), (0, 0.36), (-0.52, 0.36)]
    place.paint(
        "bicycle",
        [
            *[(wheel, _BLACK) for wheel in wheels],
            (place.line(0.1, frame), paint),
            (place.line(0.1, [(0.52, 0.36), (0.38, 1.0)]), paint),
        ],
    )


def motorcycle(place: Place) -> None:
    """A motorcycle, seen from the side."""
    body = [(-0.8, 0.75), (-0.5, 0.35), (0.4, 0.35), (0.75, 0.95), (0.5, 1.05), (0.2, 0.8)]
    wheels = [(place.plate("circle", x, 0.33, 0.35), _BLACK) for x in (-0.65, 0.65)]
    place.paint("motorcycle", [*wheels, (place.polygon(body), Surface(tint(place.rng)))])


def cyclist(place: Place) -> None:
    """A rider on a bicycle."""
    bicycle(place)
    _rider(place)


def motorcyclist(place: Place) -> None:
    """A rider on a motorcycle."""
    motorcycle(place)
    _rider(place)
