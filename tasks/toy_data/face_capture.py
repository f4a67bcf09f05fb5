"""What differs between pictures of one person: pose, expression, light, camera, obstacles."""

from __future__ import annotations

import cv2
import numpy as np

from .face_drawing import Expression, draw_face
from .face_identity import FaceIdentity
from .face_sketch import Pose, Sketch, oval
from .surfaces import TEXTURES, Surface, fill, tint

SIZE = 112
_TEXTURES = sorted(TEXTURES)
_GLASSES, _OCCLUSION = 0.2, 0.15  # shares of the pictures


def photograph(rng: np.random.Generator, person: FaceIdentity) -> np.ndarray:
    """One picture of a person.

    Args:
        rng: source of all that is not the person.
        person: who is in it.

    Returns:
        uint8 array of shape (112, 112, 3), channels blue, green, red.
    """
    pose = Pose(
        x=SIZE / 2 + rng.normal(0, 1.8),
        y=SIZE / 2 + 3 + rng.normal(0, 1.8),
        scale=rng.normal(1.08, 0.035),
        roll=rng.normal(0, 5),
        yaw=rng.normal(0, 2.6),
        pitch=rng.normal(0, 1.6),
    )
    sketch = Sketch(_background(rng), SIZE, pose)
    draw_face(sketch, person, _expression(rng), tint(rng, saturation=(0, 0.9), value=(0.1, 1)))
    if rng.uniform() < _GLASSES:
        _put_on_glasses(sketch, rng, person)
    if rng.uniform() < _OCCLUSION:
        _cover(sketch, rng)
    return _expose(rng, sketch.picture(), pose, person)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Of half the size, as it is out of focus."""
    texture = str(rng.choice(_TEXTURES))
    colour = tint(rng, saturation=(0, 0.7), value=(0.05, 1))
    surface = Surface(colour, texture, rng.uniform(10, 60), rng.uniform(4, 20))
    pixels = fill(rng, surface, SIZE // 2, SIZE // 2).clip(0, 255).astype(np.uint8)
    return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 2))


def _expression(rng: np.random.Generator) -> Expression:
    return Expression(
        smile=rng.uniform(-0.6, 1),
        mouth_open=max(0.0, rng.uniform(-1, 1)),
        brows_up=rng.uniform(-1, 1),
        eyes_open=rng.uniform(0.55, 1.15),
        gaze=rng.uniform(-1, 1),
    )


def _put_on_glasses(sketch: Sketch, rng: np.random.Generator, person: FaceIdentity) -> None:
    frame = tint(rng, saturation=(0, 0.8), value=(0.05, 0.5))
    radius, power = rng.uniform(8, 11), rng.uniform(0.45, 1)
    y, width = person.eye_height + 1, rng.uniform(0.9, 1.8)
    for side in (-1, 1):
        glass = oval(side * person.eye_distance, y, radius, 0.85 * radius, power=power)
        sketch.blend(glass, tint(rng, saturation=(0, 0.2)), rng.uniform(0, 0.35), 0.8)
        sketch.line(glass, frame, width, 0.8, closed=True)
        outer = side * (person.eye_distance + radius)
        sketch.line([(outer, y), (side * person.head_width, y - 2)], frame, width, 0.5)
    inner = max(0.0, person.eye_distance - radius)
    sketch.line([(-inner, y - 1), (inner, y - 1)], frame, width, 0.9)


def _cover(sketch: Sketch, rng: np.random.Generator) -> None:
    """A hand, a scarf or the like over a part of the lower or outer face."""
    angle = rng.uniform(-0.25, 1.25) * np.pi
    x, y = 44 * np.cos(angle), 44 * np.sin(angle)
    colour = tint(rng, saturation=(0, 0.8), value=(0.2, 0.9))
    blob = oval(x, y, rng.uniform(12, 26), rng.uniform(12, 26), rng.uniform(0, 90), 0.7)
    sketch.fill(blob, colour, 0.5)


def _expose(
    rng: np.random.Generator, picture: np.ndarray, pose: Pose, person: FaceIdentity
) -> np.ndarray:
    light = rng.normal(0, 1, 3) * (1, 0.8, 0.5) + (0, -0.3, 1)
    light /= np.linalg.norm(light)
    strength = rng.uniform(0.15, 0.8)
    middles = np.arange(SIZE, dtype=np.float32) + 0.5
    across = (middles - pose.x)[None] / (1.25 * pose.scale * person.head_width)
    down = (middles - pose.y)[:, None] / (1.25 * pose.scale * person.head_height)
    towards = np.sqrt(np.maximum(0.05, 1 - across**2 - down**2))
    facing = across.clip(-1, 1) * light[0] + down.clip(-1, 1) * light[1] + towards * light[2]
    shading = 1 - strength + strength * facing.clip(0) / max(0.35, float(light[2]))
    gain = (rng.normal(1, 0.1, 3) * rng.uniform(0.55, 1.3)).astype(np.float32) / 255
    exposed = picture * (shading.clip(0.12, 1.7).astype(np.float32)[:, :, None] * gain)
    exposed = 255 * cv2.pow(exposed.clip(0, 1), rng.uniform(0.75, 1.3))
    if rng.uniform() < 0.4:
        exposed = cv2.GaussianBlur(exposed, (0, 0), rng.uniform(0.4, 1.3))
    exposed += rng.uniform(1, 8) * rng.standard_normal(exposed.shape, np.float32)
    return exposed.clip(0, 255).astype(np.uint8)
