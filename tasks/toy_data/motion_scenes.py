"""Scenes whose class is how things move, while nothing that a single frame shows depends on it.

All movers of a scene go in one of eight directions, each with a speed of its own, and what leaves
the frame on one side enters on the other. The directions are four pairs of opposites.

The direction cannot be told from one frame. At the middle of a clip the place of a mover is
independent of the direction and uniform over the frame. Until another time it is shifted by an
amount which depends on nothing but the time, the speed and the direction, and the uniform
distribution does not change under shifts that wrap around. Hence any one frame of any direction is
distributed like the middle one, where all directions agree.

Two opposite directions cannot be told apart once the frames are shuffled, as a scene under one of
them is exactly the scene under the other with the frames in reverse order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .motion_sprites import random_sprite
from .surfaces import TEXTURES, Surface, fill, tint

_SLANT = math.sqrt(0.5)
MOTIONS: dict[str, tuple[float, float]] = {  # (to the right, downwards), of length 1
    "moving down": (0.0, 1.0),
    "moving down left": (-_SLANT, _SLANT),
    "moving down right": (_SLANT, _SLANT),
    "moving left": (-1.0, 0.0),
    "moving right": (1.0, 0.0),
    "moving up": (0.0, -1.0),
    "moving up left": (-_SLANT, -_SLANT),
    "moving up right": (_SLANT, -_SLANT),
}

_MOVERS = (7, 9)
_RADIUS = (0.1, 0.25)  # of the height
_SPEED = (0.02, 0.036)  # heights per frame
_BACK = {"saturation": (0.0, 0.4), "value": (0.4, 0.65)}
_BACK_STRENGTH = (0.0, 4.0)
_BACK_PERIOD = (0.1, 0.3)  # of the height


@dataclass(frozen=True)
class Mover:
    """One shape of a scene.

    Attributes:
        sprite: as `random_sprite` gives it.
        place: (x, y) of its centre at time 0, in pixels.
        speed: in pixels per frame.
    """

    sprite: np.ndarray
    place: tuple[float, float]
    speed: float


@dataclass(frozen=True)
class Scene:
    """What is seen, with all speeds, whatever the direction.

    Attributes:
        background: float32 array of shape (height, width, 3), 0 to 255, channels blue, green, red.
        movers: from the undermost to the topmost.
    """

    background: np.ndarray
    movers: tuple[Mover, ...]


def random_scene(rng: np.random.Generator, width: int, height: int) -> Scene:
    """A background and some movers.

    Args:
        rng: source of every choice.
        width: of the frame, in pixels.
        height: of the frame, in pixels.
    """
    texture = sorted(TEXTURES)[rng.integers(len(TEXTURES))]
    period = rng.uniform(*_BACK_PERIOD) * height
    surface = Surface(tint(rng, **_BACK), texture, rng.uniform(*_BACK_STRENGTH), period)
    background = fill(rng, surface, width, height).clip(0, 255).astype(np.float32)
    movers = []
    for _ in range(rng.integers(*_MOVERS, endpoint=True)):
        sprite = random_sprite(rng, rng.uniform(*_RADIUS) * height)
        place = rng.uniform(0, width), rng.uniform(0, height)
        movers.append(Mover(sprite, place, rng.uniform(*_SPEED) * height))
    return Scene(background, tuple(movers))


def render(scene: Scene, motion: str, frames: int) -> np.ndarray:
    """The frames of a clip.

    Args:
        scene: what to show.
        motion: one of `MOTIONS`.
        frames: how many; time 0 is in the middle between the first and the last.

    Returns:
        uint8 array of shape (frames, height, width, 3), channels red, green, blue.
    """
    right, down = MOTIONS[motion]
    clip = []
    for time in np.arange(frames) - (frames - 1) / 2:
        frame = scene.background.copy()
        for mover in scene.movers:
            x, y = mover.place
            way = mover.speed * time
            _paint(frame, mover.sprite, x + right * way, y + down * way)
        clip.append(frame[:, :, ::-1].astype(np.uint8))
    return np.stack(clip)


def _paint(frame: np.ndarray, sprite: np.ndarray, x: float, y: float) -> None:
    """Lay a sprite over a frame, with what leaves it on one side entering on the other.

    Args:
        frame: changed in place.
        sprite: smaller than the frame.
        x: of the centre of the sprite.
        y: the same.
    """
    height, width = frame.shape[:2]
    side = len(sprite) + 1
    left, top = math.floor(x - len(sprite) / 2), math.floor(y - len(sprite) / 2)
    shift = np.array([[1, 0, x - len(sprite) / 2 - left], [0, 1, y - len(sprite) / 2 - top]])
    layer = cv2.warpAffine(sprite, shift, (side, side))
    rows = (np.arange(top, top + side) % height)[:, None]
    columns = np.arange(left, left + side) % width
    window = frame[rows, columns]
    window *= 1 - layer[:, :, 3:]
    window += layer[:, :, :3]
    frame[rows, columns] = window
