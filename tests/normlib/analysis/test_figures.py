"""Pictures for pages and files: colours, ids, text, and what has to be installed."""

from __future__ import annotations

import itertools
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from normlib.analysis.figures import COLOURS, INK, fill, new_figure, save_png, style, to_svg


def bars(title: str = "a title"):
    figure, axes = new_figure(4, 2)
    with style():
        axes[0, 0].bar([0, 1], [1, 2], **fill("in"))
        axes[0, 0].plot([0, 1], [0, 1], marker="o", color=COLOURS["bn"])
        axes[0, 0].set_title(title)
    return figure


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


class TestSvg:
    def test_is_an_element_that_says_what_it_shows(self):
        svg = to_svg(bars(), 'ratios of <a> & "b"')
        root = parsed(svg)
        assert svg.startswith("<svg ")
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == 'ratios of <a> & "b"'
        assert root.get("viewBox")

    def test_text_stays_text_in_the_colour_of_the_page(self):
        svg = to_svg(bars("mean ratios"), "bars")
        texts = [e for e in parsed(svg).iter() if e.tag.endswith("}text")]
        assert "mean ratios" in [text.text for text in texts]
        assert INK not in svg
        assert all("currentColor" in text.get("style", "") for text in texts)
        assert COLOURS["in"].lower() in svg

    def test_the_ground_is_transparent(self):
        assert "#ffffff" not in to_svg(bars(), "bars")

    def test_nothing_outside_is_referred_to_and_the_page_is_left_alone(self):
        root = parsed(to_svg(bars(), "bars"))
        for element in root.iter():
            assert not element.tag.endswith(("}style", "}script", "}metadata", "}image"))
            for name, value in element.attrib.items():
                assert "://" not in value, name
                if name.endswith("href"):
                    assert value.startswith("#")

    def test_ids_are_unique_in_a_page(self):
        page = [
            to_svg(bars(title), label)
            for title in ("a", "b")
            for label in ("one picture", "another picture")
        ]
        ids = [id for svg in page for id in re.findall(r'\bid="([^"]+)"', svg)]
        assert ids
        assert len(ids) == len(set(ids))
        for svg in page:
            own = set(re.findall(r'\bid="([^"]+)"', svg))
            used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(
                re.findall(r'\bhref="#([^"]+)"', svg)
            )
            assert used
            assert used <= own

    def test_is_the_same_every_time(self):
        assert to_svg(bars(), "bars") == to_svg(bars(), "bars")

    def test_places_have_hundredths_of_a_point(self):
        paths = [e.get("d") for e in parsed(to_svg(bars(), "bars")).iter() if e.get("d")]
        assert paths
        assert not [path for path in paths if re.search(r"\.\d{3}|\.\d*0\b", path)]

    @pytest.mark.parametrize("title", ["</text><script>alert(1)</script>", r"$\frac$ and $1"])
    def test_hostile_text_is_text(self, title):
        svg = to_svg(bars(title), '"><script>alert(2)</script>')
        assert "<script" not in svg
        assert title in [element.text for element in parsed(svg).iter()]


def test_a_file_has_dark_text_on_white(tmp_path):
    path = tmp_path / "folder" / "bars.png"
    save_png(bars(), path)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() <= 3
    assert [p.name for p in path.parent.iterdir()] == ["bars.png"]


def test_the_style_of_others_stays():
    import matplotlib

    before = dict(matplotlib.rcParams)
    to_svg(bars(), "bars")
    assert dict(matplotlib.rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_colours_differ_in_lightness():
    """So that they can be told apart without any colour."""

    def lightness(colour: str) -> float:
        red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    found = sorted(lightness(colour) for colour in COLOURS.values())
    assert all(b / a > 1.4 for a, b in itertools.pairwise(found))


def test_without_matplotlib_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="a picture needs matplotlib: pip install matplotlib"):
        new_figure(2, 2)
