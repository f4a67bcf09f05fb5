"""Pictures of ratios: what is drawn where, and when there is nothing to draw."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex

from normlib.analysis import ratio_plots
from normlib.analysis.figures import COLOURS, MARKERS, save_png, to_svg
from normlib.analysis.ratio_dynamics import MOST_MOMENTS
from normlib.analysis.ratio_record import RatioRecordError
from normlib.analysis.ratio_summary import part_means, symmetric_kl
from tests.normlib.analysis.ratio_records import LAYERS, layer, one_hot_record, random_record

NAMES = ("in", "ln", "bn")
DEEP = [
    *(layer(f"backbone.layer{k}.norm", field=7 + 4 * k) for k in range(53)),
    *(layer(f"neck.convs.{k}.norm") for k in range(4)),
    layer("rpn_head.norm"),
    layer("roi_head.norm"),
]


def bars(panel) -> dict[str, list]:
    """The bars of a panel by the name that their colour stands for."""
    by_colour = {colour.lower(): name for name, colour in COLOURS.items()}
    found: dict[str, list] = {name: [] for name in NAMES}
    for bar in panel.patches:
        found[by_colour[to_hex(bar.get_facecolor())]].append(bar)
    return found


def heights(panel) -> np.ndarray:
    """Of all bars, in the order of the three statistics; shape (bars, 3)."""
    return np.array([[bar.get_height() for bar in bars(panel)[name]] for name in NAMES]).T


def texts(figure) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


class TestPartAverages:
    def test_bars_are_averages_of_parts(self):
        record = random_record()
        figure = ratio_plots.part_averages({"detection": record, "again": record})
        means, variances = figure.axes
        expected = [part.mean for part in part_means(record)] * 2
        np.testing.assert_allclose(heights(means), expected, atol=1e-6)
        expected = [part.variance for part in part_means(record)] * 2
        np.testing.assert_allclose(heights(variances), expected, atol=1e-6)
        figure.canvas.draw()
        found = texts(figure)
        assert {"detection", "again", "backbone", "neck", "head", *NAMES} <= set(found)

    def test_ratios_that_are_rounded_up(self):
        record = one_hot_record([["in", "bn"]] * 3)
        record.means[-1, :, 0] = np.nextafter(np.float32(1), np.float32(2))
        ratio_plots.part_averages({"a": record})

    def test_nothing_to_draw(self):
        with pytest.raises(RatioRecordError, match="no record of ratios"):
            ratio_plots.part_averages({})


class TestLayerBars:
    def test_over_depth(self):
        record = random_record()
        means, variances = ratio_plots.layer_bars(record).axes
        np.testing.assert_allclose(heights(means), record.means[-1], atol=1e-6)
        np.testing.assert_allclose(heights(variances), record.variances[-1], atol=1e-6)
        tops = [bar.get_y() + bar.get_height() for bar in bars(means)["bn"]]
        assert tops == pytest.approx([1] * 4)
        assert {"backbone", "neck", "head"} <= set(texts(means.figure))

    def test_over_the_receptive_field(self):
        record = random_record()
        figure = ratio_plots.layer_bars(record, "receptive field")
        means = figure.axes[0]
        # Fields 7, 19 and 11; the fourth layer has none.
        np.testing.assert_allclose(heights(means), record.means[-1, [0, 2, 1]], atol=1e-6)
        assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["7", "11", "19"]
        assert "unknown or unbounded for 1 of 4 layers" in figure.axes[1].get_xlabel()

    def test_errors(self):
        with pytest.raises(RatioRecordError, match="axis is 'width'; it must be one of 'depth', '"):
            ratio_plots.layer_bars(random_record(), "width")
        unknown = random_record([layer("a.norm")])
        with pytest.raises(
            RatioRecordError, match="not say the receptive field of any layer; draw"
        ):
            ratio_plots.layer_bars(unknown, "receptive field")

    def test_texts_above_do_not_overlap(self):
        figure = ratio_plots.layer_bars(random_record(DEEP))
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        assert len(boxes) == 3
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        ticks = [t.get_window_extent() for t in figure.axes[1].get_xticklabels() if t.get_text()]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(ticks, 2))


class TestDynamics:
    def test_of_parts_is_the_average(self):
        record = random_record()
        figure = ratio_plots.dynamics(record)
        assert len(figure.axes) == 6
        backbone = record.part("backbone")
        for line, k in zip(figure.axes[0].lines, range(3), strict=True):
            assert line.get_xdata().tolist() == record.iterations.tolist()
            np.testing.assert_allclose(line.get_ydata(), backbone.means[..., k].mean(1))
            assert line.get_color() == COLOURS[NAMES[k]]
            assert line.get_marker() == MARKERS[NAMES[k]]
        titles = [axes.get_title() for axes in figure.axes[:3]]
        assert titles == ["backbone (2)", "neck (1)", "head (1)"]

    def test_of_a_long_training_some_moments_are_drawn_from_first_to_last(self):
        record = random_record(moments=1000)
        (line, *_) = ratio_plots.dynamics(record).axes[0].lines
        iterations = line.get_xdata()
        assert len(iterations) == MOST_MOMENTS
        assert (iterations[0], iterations[-1]) == (0, 9990)
        assert set(np.diff(iterations)) == {120, 130}
        drawn = dict(
            zip(record.iterations, record.part("backbone").means[..., 0].mean(1), strict=True)
        )
        np.testing.assert_allclose(line.get_ydata(), [drawn[k] for k in iterations])

    def test_of_layers(self):
        record = random_record()
        figure = ratio_plots.dynamics(record, "layer", ["neck.norm"])
        assert len(figure.axes) == 2
        np.testing.assert_allclose(figure.axes[1].lines[2].get_ydata(), record.variances[:, 2, 2])

    def test_of_a_deep_network_is_of_some_layers_from_first_to_last(self):
        figure = ratio_plots.dynamics(random_record(DEEP), "layer")
        titles = [axes.get_title().replace("\n", "") for axes in figure.axes[:6]]
        assert titles[0] == "backbone.layer0.norm"
        assert titles[-1] == "roi_head.norm"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (dict(by="stage"), "by is 'stage'; it must be 'part' or 'layer'"),
            (dict(by="layer", layers=["b.c"]), r"a has no layer b\.c; its layers are backbone"),
            (dict(by="layer", layers=[]), "a has no layer to draw"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(RatioRecordError, match=message):
            ratio_plots.dynamics(random_record(), **arguments)


class TestChoices:
    @staticmethod
    def areas(panel, name) -> list[tuple[float, ...]]:
        """Opacity, first and last layer, begin and end of the rectangles of one statistics."""
        return sorted(
            (area.get_alpha() or 1, *(corners[:, 1].min() + 0.5, corners[:, 1].max() - 0.5),
             *(corners[:, 0].min(), corners[:, 0].max()))
            for area in bars(panel)[name]
            for corners in area.get_path().to_polygons()
        )  # fmt: skip

    def test_neighbours_of_one_choice_are_one_rectangle(self):
        record = one_hot_record([["in", "bn"], ["ln", "ln"], ["ln", "bn"], ["in", "bn"]])
        means, variances = ratio_plots.choices(record).axes
        # Soft up to the middle of the two moments, with "in" the largest; hard from there on.
        assert self.areas(means, "in") == [(0.3, 0, 3, 0, 5), (1, 0, 0, 5, 10), (1, 3, 3, 5, 10)]
        assert self.areas(means, "ln") == [(1, 1, 2, 5, 10)]
        assert self.areas(means, "bn") == []
        assert [area.get_hatch() for area in bars(variances)["ln"]] == ["----"]

    def test_a_picture_of_a_long_training_stays_small(self):
        # What each of 59 layers has most of changes at nearly every moment.
        record = random_record(DEEP, moments=1000)
        assert len(to_svg(ratio_plots.choices(record), "a")) < 450_000
        assert len(to_svg(ratio_plots.dynamics(record), "a")) < 150_000

    @pytest.mark.parametrize("draw", [ratio_plots.choices, ratio_plots.dynamics])
    def test_the_course_needs_two_moments(self, draw):
        with pytest.raises(RatioRecordError, match=r"a has 1 moment of a training; .* needs two"):
            draw(random_record().at(-1))


class TestDivergence:
    def test_of_several(self):
        records = {"SN": random_record(seed=1), "SSN": one_hot_record([["in", "bn"]] * 4)}
        (panel,) = ratio_plots.divergence(records).axes
        for line, record in zip(panel.lines, records.values(), strict=False):
            np.testing.assert_allclose(line.get_ydata(), symmetric_kl(record))

    def test_over_the_receptive_field(self):
        record = random_record()
        (panel,) = ratio_plots.divergence({"a": record}, "receptive field").axes
        assert panel.lines[0].get_xdata() == pytest.approx([7, 11, 19])
        np.testing.assert_allclose(panel.lines[0].get_ydata(), symmetric_kl(record)[[0, 2, 1]])


class TestComparison:
    def test_bars_are_differences(self):
        one, other = random_record(seed=1), random_record(LAYERS[:3], seed=2)
        figure = ratio_plots.comparison(one, other, ("SN", "SSN"))
        difference = other.means[-1] - one.means[-1, :3]
        drawn = heights(figure.axes[0])
        np.testing.assert_allclose(drawn[:3] + drawn[3:], difference, atol=1e-6)
        assert figure.legends[0].get_title().get_text() == "SSN − SN"
        assert "not drawn, since only in SN (1)" in figure.axes[1].get_xlabel()

    def test_over_receptive_fields(self):
        one, other = random_record(seed=1), random_record(tuple(reversed(LAYERS)), seed=2)
        figure = ratio_plots.comparison(one, other, ("SN", "SSN"), "receptive field")
        drawn = heights(figure.axes[0])
        order, twins = [0, 2, 1], [3, 1, 2]  # fields of 7, 11 and 19; the head's is not known
        difference = other.means[-1, twins] - one.means[-1, order]
        np.testing.assert_allclose(drawn[:3] + drawn[3:], difference, atol=1e-6)
        assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["7", "11", "19"]
        assert figure.axes[1].get_xlabel() == (
            "receptive field (pixels); unknown or unbounded for 1 of 4 layers"
        )

    def test_long_names_stay_in_the_picture_and_run_over_nothing(self):
        names = tuple("_".join([f"arcface_ir18_toy_{norm}_seed0"] * 4) for norm in ("sn", "ssn"))
        one, other = random_record(seed=1), random_record(LAYERS[:3], seed=2)
        figure = ratio_plots.comparison(one, other, names)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        title = legend.get_title().get_text()
        assert "".join(title.split("\n")) == f"{names[1]} − {names[0]}"
        boxes = [panel.get_tightbbox() for panel in figure.axes] + [legend.get_window_extent()]
        assert not any(box.overlaps(other) for box, other in itertools.combinations(boxes, 2))
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
        assert all(box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in boxes)

    def test_nothing_in_common(self):
        other = random_record([layer("other.norm")], source="b")
        with pytest.raises(RatioRecordError, match="a and b have no layer in common"):
            ratio_plots.comparison(random_record(), other, ("a", "b"))


@pytest.mark.slow
def test_every_picture_of_a_deep_network_can_be_written(tmp_path):
    record = random_record(DEEP)
    figures = [
        ratio_plots.part_averages({"a": record}),
        ratio_plots.layer_bars(record),
        ratio_plots.layer_bars(record, "receptive field"),
        ratio_plots.dynamics(record),
        ratio_plots.dynamics(record, "layer"),
        ratio_plots.choices(record),
        ratio_plots.divergence({"a": record}),
        ratio_plots.comparison(record, record, ("a", "b")),
    ]
    for figure in figures:
        save_png(figure, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert len(to_svg(figure, "a")) < 400_000
