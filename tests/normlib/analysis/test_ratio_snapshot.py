"""Ratios of live models against those that the layers say themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import normlib
from normlib.analysis.ratio_snapshot import RatioRecorder, ratios_of
from normlib.layers import Choice


class Mixed(nn.Module):
    """Layers of several classes, radii and numbers of normalizers, some of them settled."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleList(
            [
                normlib.SwitchNorm2d(4),
                normlib.SwitchNorm(6, normalizers=("ln", "bn")),
                normlib.SyncSwitchNorm(8),
            ]
        )
        self.head = nn.ModuleList(
            [
                normlib.SparseSwitchNorm(4, radius=0.3),
                normlib.SyncSparseSwitchNorm2d(4, radius=0.6),
                normlib.SparseSwitchNorm(4, radius=0.5, normalizers=("in", "bn")),
                normlib.SparseSwitchNorm(4, radius=0.0),
                normlib.SwitchNorm(4, normalizers=("bn",)),
            ]
        )
        for _, layer in normlib.switch_norm_layers(self):
            nn.init.normal_(layer.mean_weight, std=0.3)
            nn.init.normal_(layer.var_weight, std=0.3)
        self.backbone[0].settle(Choice("ln", None))
        self.head[0].settle(Choice("in", "bn"))


def expected(layer, statistics: int) -> list[float]:
    ratios = dict(zip(layer.normalizers, layer.ratios()[statistics].tolist(), strict=True))
    return [ratios.get(name, 0) for name in ("in", "ln", "bn")]


def test_ratios_are_those_of_the_layers():
    model = Mixed()
    record = ratios_of(model, iteration=7)
    assert record.iterations.tolist() == [7]
    layers = [layer for _, layer in normlib.switch_norm_layers(model)]
    for statistics, found in enumerate((record.means, record.variances)):
        ratios = [expected(layer, statistics) for layer in layers]
        np.testing.assert_allclose(found[0], ratios, atol=1e-6)


def test_settled_ratios_are_one_hot_whatever_an_optimizer_did():
    model = Mixed()
    with torch.no_grad():
        model.head[0].mean_weight.fill_(0.5)
    assert ratios_of(model).means[0, 3].tolist() == [1, 0, 0]


def test_layers_are_described():
    layers = ratios_of(Mixed()).layers
    assert [layer.kind for layer in layers] == [
        *("SN", "SN", "SyncSN"),
        *("SSN", "SyncSSN", "SSN", "SSN", "SN"),
    ]
    assert layers[1].name == "backbone.1"
    assert layers[1].normalizers == ("ln", "bn")
    assert layers[2].channels == 8
    assert {layer.part for layer in layers} == {"backbone", "head"}


def test_a_snapshot_is_of_its_moment():
    model = Mixed()
    recorder = RatioRecorder(model)
    before = ratios_of(model)
    snapshot = recorder.snapshot()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    normlib.harden(model)
    flat = snapshot.flat()
    np.testing.assert_array_equal(flat, flattened(before))
    assert (flat != recorder.snapshot().flat()).any()


def flattened(record) -> np.ndarray:
    pieces = [
        ratios[0, k, [("in", "ln", "bn").index(name) for name in layer.normalizers]]
        for ratios in (record.means, record.variances)
        for k, layer in enumerate(record.layers)
    ]
    return np.concatenate(pieces)


def test_taking_one_does_not_wait_for_the_device():
    names: list[str] = []

    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            names.append(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    recorder = RatioRecorder(Mixed())
    with Operators():
        recorder.snapshot()
    assert sorted(set(names) - {"detach", "unsqueeze"}) == ["cat", "stack"]


def test_a_norm_with_ratios_of_its_own():
    class Halved(normlib.SwitchNorm):
        def ratio_function(self, logits):
            return torch.full_like(logits, 0.5)

    record = ratios_of(nn.Sequential(Halved(4), normlib.SwitchNorm(4)))
    assert record.means[0, 0].tolist() == [0.5] * 3
    assert record.means[0, 1].tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    model = Mixed()
    on_host = ratios_of(model)
    np.testing.assert_allclose(ratios_of(model.cuda()).means, on_host.means, atol=1e-6)
