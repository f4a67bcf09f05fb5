"""Colours for classes that have none."""

from __future__ import annotations

import colorsys

_GOLDEN_RATIO = 0.618034


def class_palette(count: int) -> list[tuple[int, int, int]]:
    """Bright colours, those of neighbouring classes far apart.

    Args:
        count: Number of classes.

    Returns:
        Red, green and blue of each, 0 to 255.
    """
    hues = ((index * _GOLDEN_RATIO) % 1.0 for index in range(count))
    colours = (colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues)
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colours]
