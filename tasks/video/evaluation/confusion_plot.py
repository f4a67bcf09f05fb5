"""A picture of which class was taken for which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from normlib.checkpoint.saving import replacing

from .confusion import Confusion

_NAMED = 40  # up to so many classes have their names at the axes
_NUMBERED = 20  # up to so many have the shares written into the cells
_PAIRS = 20
_LONGEST = 26  # letters of a name


def plot_confusion(confusion: Confusion, path: Path) -> None:
    """Draw the shares of the classes found, in per cent of the videos of each class.

    Up to 40 classes are named at the axes. Of more, the pairs that are confused most are listed
    beside the picture.

    Args:
        confusion: What was counted.
        path: The PNG to write, whole or not at all.

    Raises:
        OSError: The disk refuses.
    """
    count = len(confusion.classes)
    named = count <= _NAMED
    side = 4 + 0.28 * count if named else 9
    figure = Figure(figsize=(side + 1, side) if named else (side + 6, side), layout="constrained")
    FigureCanvasAgg(figure)
    if named:
        axes = figure.add_subplot()
    else:
        axes, listed = figure.subplots(1, 2, width_ratios=[1.6, 1])
        _list_pairs(confusion, listed)
    _draw(confusion, axes, figure, named)
    title = f"{confusion.videos:,} videos of {count:,} classes, top-1 {confusion.top1:.2f} %"
    figure.suptitle(title)
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)


def _draw(confusion: Confusion, axes: Axes, figure: Figure, named: bool) -> None:
    shares = 100 * confusion.shares
    count = len(shares)
    # The root shows small shares, of which a large matrix is full.
    norm = PowerNorm(1 if named else 0.5, 0, 100)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    if named:
        names = [_short(name) for name in confusion.classes]
        options = {"fontsize": "small", "parse_math": False}
        axes.set_xticks(range(count), names, rotation=90, **options)
        axes.set_yticks(range(count), names, **options)
    axes.set_xlabel("class found")
    axes.set_ylabel("class of the video")
    figure.colorbar(image, ax=axes, label="per cent of the videos of a class", shrink=0.8)
    if count <= _NUMBERED:
        for true, found in zip(*np.nonzero(shares), strict=True):
            share = shares[true, found]
            colour = "white" if share > 50 else "black"
            options = {"ha": "center", "va": "center", "fontsize": "x-small", "color": colour}
            axes.text(found, true, f"{share:.0f}", **options)


def _list_pairs(confusion: Confusion, axes: Axes) -> None:
    axes.axis("off")
    pairs = confusion.confused_pairs(_PAIRS)
    title = "confused most: class of the video, class found, videos" if pairs else "none confused"
    axes.set_title(title, fontsize="small")
    options = {"fontsize": "small", "va": "top", "parse_math": False}
    for row, pair in enumerate(pairs):
        height = 0.98 - row / _PAIRS
        for left, place in ((0.0, pair.true), (0.42, pair.found)):
            name = f"{place} {_short(confusion.classes[place])}"
            axes.text(left, height, name, **options)
        axes.text(1.0, height, f"{pair.count:,} ({100 * pair.share:.0f} %)", ha="right", **options)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
