"""Records: their parts and moments."""

from __future__ import annotations

import numpy as np
import pytest

from normlib.analysis.ratio_record import RatioRecordError, part_of
from tests.normlib.analysis.ratio_records import one_hot_record, random_record


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("backbone.layer1.0.bn1", "backbone"),
        ("neck.lateral_convs.0.sn", "neck"),
        ("roi_head.bbox_head.sn", "head"),
        ("decode_head.bottleneck.sn", "head"),
        ("head.norm", "head"),
        ("layer1.0.bn1", "layer1"),
        ("bn1", "model"),
    ],
)
def test_the_part_is_the_first_component(name, part):
    assert part_of(name) == part


def test_parts_are_in_the_order_of_the_model():
    record = random_record()
    assert record.parts == ("backbone", "neck", "head")
    assert [layer.name for layer in record.part("neck").layers] == ["neck.norm"]
    np.testing.assert_array_equal(record.part("neck").means[:, 0], record.means[:, 2])
    with pytest.raises(RatioRecordError, match="a has no layers in a part 'tail'; it has backbone"):
        record.part("tail")


def test_moments():
    record = random_record()
    for last in (record.at(-1), record.at(4)):
        assert last.iterations.tolist() == [40]
        np.testing.assert_array_equal(last.variances, record.variances[-1:])
    some = record.at(0, -2)
    assert some.iterations.tolist() == [0, 30]
    np.testing.assert_array_equal(some.means, record.means[[0, 3]])
    with pytest.raises(IndexError):
        record.at(5)


def test_only_sparse_layers_are_sparse():
    assert one_hot_record([["in", "bn"]]).is_sparse
    assert not random_record().is_sparse
