"""The looks of pictures: one style, for a page in light or dark and for files.

Text, ticks and spines are of one colour, :data:`INK`, on a transparent ground. A file has it on
white; in a page it becomes that of the text around.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from normlib.checkpoint.saving import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Of text, ticks and spines; hardly to be told from black.
INK = "#010203"
#: Of the statistics, the same in every picture, and to be told apart by the colour-blind.
COLOURS = {"in": "#0072B2", "ln": "#E69F00", "bn": "#009E73"}
#: Of areas, so that the colour is not all there is.
HATCHES = {"in": "////", "ln": "----", "bn": ""}
#: Of lines, likewise.
MARKERS = {"in": "o", "ln": "s", "bn": "^"}
DASHES = {"in": "-", "ln": "--", "bn": "-."}
#: Of the lines of hatches: a darker shade each.
SHADES = {"in": "#004B75", "ln": "#8A5F00", "bn": "#00674B"}

_STYLE = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_PAGE_FONTS = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


@contextmanager
def style() -> Iterator[None]:
    """Draw in this style within the block.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with _matplotlib().rc_context(_STYLE):
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure in this style, made without pyplot; its text is to be added within :func:`style`.

    Args:
        width: In inches.
        height: In inches.
        rows: Rows of panels.
        columns: Columns of panels.
        **subplots: As ``Figure.subplots`` takes.

    Returns:
        The figure, and its axes as an array of shape (rows, columns).

    Raises:
        ImportError: matplotlib is not installed.
    """
    with style():
        figure = importlib.import_module("matplotlib.figure").Figure(
            figsize=(width, height), layout="constrained"
        )
        axes = figure.subplots(rows, columns, squeeze=False, **subplots)
        for panel in axes.flat:
            # Ticks are made when they are drawn.
            panel.tick_params(colors=INK)
    return figure, axes


def fill(name: str) -> dict[str, Any]:
    """Arguments of matplotlib for areas that stand for ``'in'``, ``'ln'`` or ``'bn'``."""
    return dict(facecolor=COLOURS[name], hatch=HATCHES[name], edgecolor=SHADES[name], linewidth=0)


def put_legend(figure: Figure, more: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Say above a picture what the areas stand for.

    Args:
        figure: The picture.
        more: Further areas: their label and, as :func:`fill` gives them, their looks.
    """
    patch = importlib.import_module("matplotlib.patches").Patch
    areas = {name: fill(name) for name in COLOURS} | dict(more or {})
    handles = [patch(label=name, **looks) for name, looks in areas.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, handleheight=1.2)


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a picture on white, whole or not at all.

    Raises:
        OSError: The disk refuses.
    """
    with replacing(Path(path)) as scratch, style():
        figure.savefig(scratch, format="png", dpi=120, facecolor="white")


def to_svg(figure: Figure, label: str) -> str:
    """A picture as an element for a page of HTML.

    Text stays text, in the page's colour. Nothing outside is referred to, and what has an id does
    not share it with other pictures, unless these have the same content and label.

    Args:
        figure: The picture.
        label: What it shows, for those who cannot see it.
    """
    content = io.StringIO()
    fixed = {"svg.fonttype": "none", "svg.hashsalt": "normlib"}
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with style(), _matplotlib().rc_context(fixed):
        figure.savefig(content, format="svg", facecolor="none", metadata=nothing)
    text = content.getvalue()
    prefix = f"p{hashlib.sha256(f'{label} {text}'.encode()).hexdigest()[:10]}"
    needed = set(re.findall(r"#([\w-]+)", text))
    root = ElementTree.fromstring(text.replace(INK, "currentColor"))
    for parent in list(root.iter()):
        parent.tag = parent.tag.removeprefix(_SVG)
        for child in list(parent):
            # Styles of an inline element would be those of the whole page.
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
        for name, value in list(parent.attrib.items()):
            del parent.attrib[name]
            if name != "id" or value in needed:
                parent.set(name.removeprefix(_XLINK), _adapted(name, value, prefix))
    root.attrib |= {
        "xmlns": _SVG[1:-1],
        "role": "img",
        "aria-label": label,
        "style": "stroke-linejoin: round; stroke-linecap: butt",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _adapted(name: str, value: str, prefix: str) -> str:
    """An attribute with the ids and the font of the page."""
    if name == "id":
        return f"{prefix}-{value}"
    if name == f"{_XLINK}href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    if name == "d":
        # In points; more digits only make the page larger.
        return _DIGITS.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
    value = value.replace("url(#", f"url(#{prefix}-")
    return re.sub(r"(?<=px )'DejaVu Sans'[^;]*", _PAGE_FONTS, value)


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib")
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: pip install matplotlib") from error
