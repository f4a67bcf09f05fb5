"""A face of some person with some expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .face_identity import FaceIdentity
from .face_sketch import Sketch, curve, oval
from .surfaces import BLACK, WHITE, Colour, mixed

_RED = (60.0, 60.0, 190.0)
_LIP = (85.0, 75.0, 175.0)


@dataclass(frozen=True)
class Expression:
    """What a face does.

    Attributes:
        smile: from -1 for corners of the mouth down to 1 for up.
        mouth_open: 0 to 1.
        brows_up: from -1 to 1.
        eyes_open: 0.3 to 1.2.
        gaze: of the irises, from -1 for left to 1 for right.
    """

    smile: float
    mouth_open: float
    brows_up: float
    eyes_open: float
    gaze: float


def head_outline(person: FaceIdentity, larger: float = 0.0) -> np.ndarray:
    """Corners of the outline of a head, of shape (corners, 2)."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = np.cos(angles), np.sin(angles)
    below = sin > 0
    across = np.sign(cos) * np.abs(cos) ** np.where(below, person.jaw, 0.85)
    return np.stack(
        [(person.head_width + larger) * across, (person.head_height + larger) * sin], axis=1
    )


def draw_face(sketch: Sketch, person: FaceIdentity, expression: Expression, dress: Colour) -> None:
    """Draw head, neck and shoulders.

    Args:
        sketch: drawn over.
        person: whose face it is.
        expression: what it does.
        dress: colour of what is worn.
    """
    _behind(sketch, person, dress)
    _head(sketch, person)
    for side in (-1, 1):
        _eye(sketch, person, expression, side)
    _nose(sketch, person)
    _beard(sketch, person)
    _mouth(sketch, person, expression)
    _hair(sketch, person)


def _behind(sketch: Sketch, person: FaceIdentity, dress: Colour) -> None:
    width, height = person.head_width, person.head_height
    if person.hair_style == "long":
        sketch.fill(oval(0, 8, width + 9, height + 12, power=0.8), person.hair, -0.6)
    elif person.hair_style == "curly":
        for angle in np.linspace(np.pi * 0.95, np.pi * 2.05, 11):
            x, y = (width + 2) * np.cos(angle), (height + 1) * np.sin(angle)
            sketch.fill(oval(x, y, 11, 11), person.hair, -0.4)
    shade = mixed(person.skin, BLACK, 0.22)
    sketch.fill([(-16, 20), (16, 20), (19, 80), (-19, 80)], shade, -0.4)
    sketch.fill([(-70, 84), (-44, 60), (-16, 52), (16, 52), (44, 60), (70, 84)], dress, -0.4)
    for side in (-1, 1):
        place = side * (width - 0.5), person.ear_height
        sketch.fill(oval(*place, 0.62 * person.ear_size, person.ear_size), person.skin, -0.5)
        inner = mixed(person.skin, _RED, 0.25)
        sketch.fill(oval(*place, 0.3 * person.ear_size, 0.55 * person.ear_size), inner, -0.5)


def _head(sketch: Sketch, person: FaceIdentity) -> None:
    sketch.fill(head_outline(person), mixed(person.skin, BLACK, 0.1))
    sketch.fill(head_outline(person, -2), person.skin, 0.05)
    cheek = 0.6 * person.head_width, 12
    for side in (-1, 1):
        where = oval(side * cheek[0], cheek[1], 8, 6)
        sketch.fill(where, mixed(person.skin, _RED, person.cheeks), 0.4)
    if person.mole is not None:
        sketch.fill(oval(*person.mole, 1.5, 1.5), mixed(person.skin, BLACK, 0.6), 0.5)


def _eye(sketch: Sketch, person: FaceIdentity, expression: Expression, side: int) -> None:
    x, y = side * person.eye_distance, person.eye_height
    opening = person.eye_opening * expression.eyes_open
    tilt = -side * person.eye_tilt
    lid = mixed(person.skin, BLACK, 0.16)
    sketch.fill(oval(x, y - 0.8, person.eye_width + 1.6, opening + 2.2, tilt), lid, 0.6)
    sketch.fill(oval(x, y, person.eye_width, opening, tilt, 1.15), (232, 236, 238), 0.6)
    radius = min(0.55 * person.eye_width, 3.4)
    look = x + expression.gaze * 0.35 * person.eye_width
    sketch.fill(oval(look, y, radius, min(radius, opening)), person.iris, 0.6)
    sketch.fill(oval(look, y, 0.5 * radius, min(0.5 * radius, opening)), (15, 15, 15), 0.6)
    sketch.fill(oval(look - 0.8, y - 0.9, 0.6, 0.6), WHITE, 0.6)
    top = oval(x, y, person.eye_width, opening, tilt, 1.15)
    sketch.line(top[len(top) // 2 :], mixed(person.hair, BLACK, 0.6), 0.8, 0.6)

    rise = person.brow_gap + 2.2 * expression.brows_up
    arc = curve(person.brow_length, person.brow_arch)
    outer = np.linspace(-1, 1, len(arc)) * side
    arc = arc + np.stack([np.full(len(arc), x), y - rise - 1.2 * expression.brows_up * -outer], 1)
    thickness = person.brow_thickness * (0.55 + 0.45 * np.sqrt(1 - 0.9 * outer**2))
    below = arc[::-1] + np.stack([np.zeros(len(arc)), thickness[::-1]], 1)
    sketch.fill(np.concatenate([arc, below]), mixed(person.hair, BLACK, 0.25), 0.6)


def _nose(sketch: Sketch, person: FaceIdentity) -> None:
    top, tip = person.eye_height + 2, person.eye_height + person.nose_length
    half = person.nose_width
    dark, light = mixed(person.skin, BLACK, 0.2), mixed(person.skin, WHITE, 0.18)
    bridge = [(-0.35 * half, top), (0.35 * half, top), (0.8 * half, tip), (-0.8 * half, tip)]
    sketch.fill(bridge, mixed(person.skin, WHITE, 0.1), 0.8)
    sketch.line([(0.45 * half, top + 4), (0.9 * half, tip - 2)], dark, 0.9, 0.9)
    sketch.fill(oval(0, tip, half, 0.42 * half + 1.2), mixed(person.skin, BLACK, 0.09), 1)
    sketch.fill(oval(0, tip - 0.8, 0.55 * half, 0.3 * half + 1), light, 1)
    for side in (-1, 1):
        hole = oval(side * 0.5 * half, tip + 0.22 * half + 0.6, 0.24 * half + 0.3, 0.9)
        sketch.fill(hole, mixed(person.skin, BLACK, 0.62), 1)
    sketch.line(curve(half, -0.3 * half - 1, 0, tip + 0.6), dark, 0.8, 1)


def _mouth(sketch: Sketch, person: FaceIdentity, expression: Expression) -> None:
    y = person.eye_height + person.nose_length + person.mouth_height
    half = person.mouth_width * (1 + 0.12 * expression.smile)
    lip = mixed(person.skin, _LIP, 0.62)
    middle = curve(half, -3.2 * expression.smile, 0, y - 1.6 * expression.smile, 13)
    round_off = (1 - np.linspace(-1, 1, 13) ** 2)[:, None] * np.array([0.0, 1.0])
    gap = 6.5 * expression.mouth_open
    upper = middle - (person.upper_lip + 0.2 * gap) * round_off
    dip = np.exp(-((np.linspace(-1, 1, 13) / 0.22) ** 2))[:, None] * np.array([0.0, 0.8])
    lower = middle + (person.lower_lip + gap) * round_off
    sketch.fill(np.concatenate([upper + dip, lower[::-1]]), lip, 0.7)
    inner = middle - 0.2 * gap * round_off, (middle + gap * round_off)[::-1]
    if gap > 1.2:
        sketch.fill(np.concatenate(inner), (35, 25, 70), 0.7)
        teeth = inner[0], (inner[0] + 0.4 * gap * round_off)[::-1]
        sketch.fill(np.concatenate(teeth), (225, 232, 235), 0.7)
    else:
        sketch.line(middle, mixed(lip, BLACK, 0.55), 0.8, 0.7)


def _beard(sketch: Sketch, person: FaceIdentity) -> None:
    tip = person.eye_height + person.nose_length
    mouth = tip + person.mouth_height
    if person.beard == "full":
        outline = head_outline(person, 0.8)
        lower = outline[outline[:, 1] > mouth - 12]
        lower = lower[np.argsort(lower[:, 0])]
        inner = curve(person.mouth_width + 6, 9, 0, mouth + 3)
        sketch.fill(np.concatenate([lower, inner[::-1]]), person.hair, 0.2)
    elif person.beard == "chin":
        sketch.fill(oval(0, person.head_height - 5, 9, 7.5), person.hair, 0.3)
    if person.beard in ("full", "moustache"):
        y = mouth - person.upper_lip - 2.2
        arc = curve(person.mouth_width + 1.5, 2.4, 0, y + 2.4)
        sketch.fill(np.concatenate([arc, curve(person.mouth_width, -0.4, 0, y + 3)[::-1]]),
                    person.hair, 0.8)  # fmt: skip


def _hair(sketch: Sketch, person: FaceIdentity) -> None:
    if person.hair_style == "bald":
        return
    line, width = person.hairline, person.head_width
    thick = {"short": 2, "parted": 4, "fringe": 4, "long": 5, "curly": 5}[person.hair_style]
    outline = head_outline(person, thick)
    low = {"long": 6, "fringe": -6}.get(person.hair_style, -14)
    crown = outline[outline[:, 1] < low]
    crown = crown[np.argsort(crown[:, 0])]
    along = np.linspace(1, -1, 15)
    if person.hair_style == "parted":
        front = line - 2 + 16 * np.abs(along + 0.45) ** 1.3 * 0.8
    elif person.hair_style == "fringe":
        front = line + 9 - 3 * along**2 + 1.2 * np.cos(9 * along)
    else:
        front = line + 13 * np.abs(along) ** 3
    side = np.stack([(width - 2.5) * np.sin(along * np.pi / 2), np.minimum(front, low)], 1)
    sketch.fill(np.concatenate([crown, side]), person.hair, 0.05)
    shine = curve(0.5 * width, 5, -0.15 * width, line - 6)
    sketch.line(shine, mixed(person.hair, WHITE, 0.22), 1.2, 0.05)
