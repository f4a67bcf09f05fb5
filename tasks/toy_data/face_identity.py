"""Who a drawn face is: what stays the same in all pictures of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .surfaces import BLACK, WHITE, Colour, mixed

HAIR_STYLES = ("bald", "short", "parted", "fringe", "long", "curly")
BEARDS = ("none", "none", "moustache", "chin", "full")

# Lightest to darkest, blue, green, red.
_SKINS = ((196, 214, 245), (150, 180, 230), (105, 145, 205), (70, 100, 160), (45, 62, 100))
_HAIRS = (
    (25, 22, 22),
    (35, 45, 70),
    (45, 70, 115),
    (110, 165, 205),
    (45, 85, 165),
    (165, 165, 165),
)
_EYES = ((30, 45, 70), (45, 80, 120), (75, 115, 85), (150, 110, 60), (130, 125, 115))

# Lengths in pixels of a face 80 pixels high, angles in degrees.
_RANGES = {
    "head_width": (29, 38),
    "head_height": (40, 47),
    "jaw": (0.62, 1.25),
    "ear_size": (3, 9),
    "ear_height": (-9, 3),
    "eye_distance": (12, 19.5),
    "eye_height": (-13, -6),
    "eye_width": (5, 9),
    "eye_opening": (2.0, 4.6),
    "eye_tilt": (-14, 14),
    "brow_gap": (5.5, 10.5),
    "brow_thickness": (1.2, 3.8),
    "brow_length": (7, 12),
    "brow_arch": (-1, 4),
    "nose_length": (14, 27),
    "nose_width": (3.5, 9),
    "mouth_height": (9, 15),
    "mouth_width": (8, 17),
    "upper_lip": (1, 3.4),
    "lower_lip": (1.2, 4.2),
    "hairline": (-36, -24),
    "cheeks": (0, 0.35),
}


@dataclass(frozen=True)
class FaceIdentity:
    """The attributes of a person, independent of each other.

    Lengths are in pixels from the middle of a face that is some 85 pixels high; y points down.

    Attributes:
        head_width: half of it, at the cheek bones.
        head_height: from the middle to the crown and to the chin.
        jaw: below 1 angular, above 1 pointed.
        ear_size: radius.
        ear_height: y of the ears.
        eye_distance: from the middle to the pupils.
        eye_height: y of the eyes.
        eye_width: half of it.
        eye_opening: half of it.
        eye_tilt: degrees by which the outer corners are raised.
        brow_gap: from the eyes to the brows.
        brow_thickness: in the middle.
        brow_length: half of it.
        brow_arch: by which the middle of a brow is higher than its ends.
        nose_length: from the eyes to the tip.
        nose_width: half of it.
        mouth_height: from the tip of the nose to the mouth.
        mouth_width: half of it.
        upper_lip: thickness.
        lower_lip: thickness.
        hairline: y of its middle.
        cheeks: by how much they are red.
        skin: colour.
        hair: colour, also of brows and beard.
        iris: colour.
        hair_style: one of `HAIR_STYLES`.
        beard: one of `BEARDS`.
        mole: x and y, or None.
    """

    head_width: float
    head_height: float
    jaw: float
    ear_size: float
    ear_height: float
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_tilt: float
    brow_gap: float
    brow_thickness: float
    brow_length: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    hairline: float
    cheeks: float
    skin: Colour
    hair: Colour
    iris: Colour
    hair_style: str
    beard: str
    mole: tuple[float, float] | None


def random_identity(rng: np.random.Generator) -> FaceIdentity:
    """A person like no other."""
    lengths = {name: float(rng.uniform(*bounds)) for name, bounds in _RANGES.items()}
    spot = float(rng.uniform(-20, 20)), float(rng.uniform(0, 24))
    return FaceIdentity(
        **lengths,
        skin=_between(_SKINS, rng),
        hair=_near(_HAIRS, rng),
        iris=_near(_EYES, rng),
        hair_style=str(rng.choice(HAIR_STYLES)),
        beard=str(rng.choice(BEARDS)),
        mole=spot if rng.uniform() < 0.3 else None,
    )


def _between(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    place = rng.uniform(0, len(colours) - 1)
    first = int(place)
    return mixed(colours[first], colours[first + 1], place - first)


def _near(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    colour = colours[rng.integers(len(colours))]
    other = BLACK if rng.uniform() < 0.5 else WHITE
    return mixed(colour, other, rng.uniform(0, 0.15))
