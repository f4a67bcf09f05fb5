"""Averages, divergence, choices and matching against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normlib.analysis.ratio_record import RatioRecordError, from_flat
from normlib.analysis.ratio_summary import (
    hard_choices,
    match_layers,
    part_means,
    symmetric_kl,
    table,
)
from tests.normlib.analysis.ratio_records import LAYERS, layer, one_hot_record, random_record


def record_of(*layers_, means, variances):
    flat = np.array([[*np.ravel(means), *np.ravel(variances)]], np.float32)
    return from_flat(layers_, np.array([0]), flat, source="a")


def test_every_layer_counts_alike_in_a_part():
    record = record_of(
        *(layer(f"neck.{k}") for k in range(2)),
        layer("head.norm"),
        means=[[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]],
        variances=[[0, 1, 0]] * 3,
    )
    neck, head = part_means(record)
    assert (neck.part, neck.layers, head.part, head.layers) == ("neck", 2, "head", 1)
    np.testing.assert_allclose(neck.mean, [0.75, 0.25, 0])
    np.testing.assert_allclose(neck.mean_spread, [0.25, 0.25, 0])
    np.testing.assert_allclose(neck.variance, [0, 1, 0])
    np.testing.assert_allclose(head.mean_spread, 0)


def test_the_table_has_a_line_for_each_part():
    lines = table(random_record())
    assert [line.split()[0] for line in lines] == ["part", "backbone", "neck", "head"]
    assert lines[0].split()[2:8] == ["mean", "in", "mean", "ln", "mean", "bn"]
    ratios = [float(cell) for cell in lines[1].split()[2:]]
    assert sum(ratios[:3]) == pytest.approx(1, abs=0.002)
    assert lines[0].index("mean bn") == lines[1].index(lines[1].split()[4])


class TestDivergence:
    def test_is_half_of_both_directions(self):
        p, q = (0.5, 0.25, 0.25), (0.25, 0.5, 0.25)
        record = record_of(layer("a.b"), means=[p], variances=[q])
        both = 0.25 * math.log(2) + 0.25 * math.log(2)
        assert symmetric_kl(record) == pytest.approx([both / 2], rel=1e-5)

    def test_of_equal_ratios_is_0(self):
        record = record_of(layer("a.b"), means=[[0, 0, 1]], variances=[[0, 0, 1]])
        assert symmetric_kl(record) == pytest.approx([0])

    def test_of_one_hot_ratios_is_finite_and_alike(self):
        record = one_hot_record([["in", "ln"], ["ln", "bn"], ["bn", "bn"]])
        found = symmetric_kl(record)
        assert found == pytest.approx([13.8, 13.8, 0], abs=0.05)


def test_choices_are_ratios_that_are_one():
    means, variances = hard_choices(one_hot_record([["in", "bn"], ["ln", "in"]]))
    assert means.tolist() == [[-1, -1], [0, 1]]
    assert variances.tolist() == [[-1, -1], [2, 0]]


class TestMatching:
    def test_by_name(self):
        matching = match_layers(random_record(), random_record(LAYERS[::-1]))
        assert matching.pairs == [(0, 3), (1, 2), (2, 1), (3, 0)]
        assert matching.only_one == matching.only_other == []

    def test_by_what_names_end_in(self):
        bare = [layer("layer1.bn1"), layer("layer1.bn2"), layer("fc.bn")]
        wrapped = [layer(f"backbone.{name}") for name in ("layer1.bn1", "layer1.bn2", "neck.bn")]
        matching = match_layers(random_record(bare), random_record(wrapped))
        assert matching.pairs == [(0, 0), (1, 1)]
        assert matching.only_one == ["fc.bn"]
        assert matching.only_other == ["backbone.neck.bn"]

    def test_what_could_be_several_is_none(self):
        several = [layer("a.bn"), layer("b.bn"), layer("c.norm")]
        matching = match_layers(
            random_record([layer("bn"), layer("c.norm")]), random_record(several)
        )
        assert matching.pairs == [(1, 2)]

    def test_a_whole_component_has_to_agree(self):
        with pytest.raises(RatioRecordError, match=r"in common.*one has bn, the other sbn"):
            match_layers(random_record([layer("bn")]), random_record([layer("sbn")]))
