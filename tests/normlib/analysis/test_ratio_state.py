"""Ratios of weights without their model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import normlib
from normlib.analysis.ratio_record import RatioRecordError
from normlib.analysis.ratio_snapshot import ratios_of
from normlib.analysis.ratio_state import ratios_in


@pytest.fixture
def model():
    layers = [
        normlib.SwitchNorm(4),
        normlib.SparseSwitchNorm(5, radius=0.3),
        normlib.SwitchNorm(6, normalizers=("ln", "bn")),
        normlib.SwitchNorm(7, normalizers=("in", "ln")),
        normlib.SwitchNorm(8, normalizers=("bn",)),
        normlib.SwitchNorm(9, normalizers=("ln",), affine=False),
    ]
    for layer in layers:
        nn.init.normal_(layer.mean_weight)
        nn.init.normal_(layer.var_weight)
    return nn.ModuleDict({"backbone": nn.ModuleList(layers)})


def test_they_are_those_of_the_model(model):
    record, live = ratios_in(model.state_dict(), "a.pth", 12), ratios_of(model)
    np.testing.assert_allclose(record.means, live.means, atol=1e-6)
    np.testing.assert_allclose(record.variances, live.variances, atol=1e-6)
    assert record.iterations.tolist() == [12]
    for found, layer in zip(record.layers[:5], live.layers[:5], strict=True):
        assert found == layer
    assert record.layers[5].channels is None


def test_settled_sparse_layers_need_no_radius(model):
    normlib.harden(model)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("radius")}
    np.testing.assert_array_equal(ratios_in(state, "a.pth").means, ratios_of(model).means)


def test_what_is_assumed_is_said(model):
    softmax, normalizers = ratios_in(model.state_dict(), "a.pth").notes
    assert "no radius for 5 of 6 layers: softmax is assumed" in softmax
    assert "4 of 6 layers mix: for backbone.2, ln and bn is assumed" in normalizers
    sparse = normlib.convert(nn.Sequential(nn.BatchNorm2d(3)), "SSN")
    assert ratios_in(sparse.state_dict(), "a.pth").notes == ()


def test_errors(model):
    with pytest.raises(RatioRecordError, match=r"a\.pth has no switchable norms: no key of its 5"):
        ratios_in(nn.BatchNorm2d(3).state_dict(), "a.pth")
    state = model.state_dict()
    state["backbone.0.var_weight"] = torch.ones(4)
    with pytest.raises(RatioRecordError, match=r"backbone\.0\.var_weight is of shape \(4,\); it"):
        ratios_in(state, "a.pth")
    del state["backbone.0.var_weight"]
    with pytest.raises(RatioRecordError, match=r"backbone\.0\.var_weight is missing"):
        ratios_in(state, "a.pth")
