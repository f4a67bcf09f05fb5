"""Weights of 2-D networks in I3D ResNets: what they compute, what is told, what is refused."""

from __future__ import annotations

import logging

import pytest
import torch
from mmengine.logging import MMLogger

import normlib.openmmlab  # noqa: F401
from normlib import SwitchNorm
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.pretrained import load_weights
from tasks.video.models import I3DResNet, TimeConv3d
from tests.normlib.checkpoint import released_models
from tests.tasks.video.models.networks import (
    NORMS,
    images,
    small,
    with_equal_frames_outside,
)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NORMS)
def test_a_video_of_equal_frames_gives_what_the_2d_network_gives(name, training):
    """In training, SN and BN see the same statistics of each frame and of the whole clip."""
    flat, network = images(name).double(), small(name).double()
    network.load_state_dict(flat.state_dict())
    with_equal_frames_outside(network)
    flat.train(training)
    network.train(training)
    x = torch.randn(3, 3, 40, 40, dtype=torch.float64)
    maps = network(x.unsqueeze(2).expand(-1, -1, 6, -1, -1))
    for one, many in zip(flat(x), maps, strict=True):
        torch.testing.assert_close(many, one.unsqueeze(2).expand_as(many), rtol=1e-8, atol=1e-10)
    if training and name != "GN":
        # Statistics of equal frames are those of one: running ones too, but for BN's divisor.
        tolerance = {"rtol": 0.3} if name == "BN" else {"rtol": 1e-8}
        for key, value in flat.state_dict().items():
            if key.endswith("running_var"):
                torch.testing.assert_close(network.state_dict()[key], value, atol=1e-9, **tolerance)


def test_with_zeros_outside_the_frames_in_the_middle_agree():
    """BN in evaluation does not mix frames: the zeros reach only as far as the kernels do."""
    flat, network = images("BN").double(), small("BN", with_pool2=False).double()
    network.load_state_dict(flat.state_dict())
    flat.eval()
    network.eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    maps = network(x.unsqueeze(2).expand(-1, -1, 21, -1, -1))[-1]
    reach = sum(m.padding[0] for m in network.modules() if isinstance(m, TimeConv3d))
    assert 0 < reach < 10
    expected = flat(x)[-1]
    torch.testing.assert_close(maps[:, :, 10], expected, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(maps[:, :, 0], expected, rtol=1e-3)


@pytest.fixture
def lines():
    """What is logged."""
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.extend(record.getMessage().splitlines())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


def test_the_log_has_a_line_for_every_layer(lines):
    network = small("SN")
    load_weights(network, images("SN").state_dict(), "flat.pth")
    for name, module in network.named_modules():
        if isinstance(module, TimeConv3d | SwitchNorm):
            assert sum(line.startswith(f"{name}: ") for line in lines) == 1, name
    assert "conv1: 8x3x7x7 -> 8x3x5x7x7, divided by 5" in lines
    every = "weight, bias, mean_weight, var_weight, running_mean, running_var"
    assert f"layer1.0.sn1: {every}" in lines


def test_weights_of_clips_are_not_inflated(lines):
    small().load_state_dict(small().state_dict())
    assert not any("inflated" in line for line in lines)


@pytest.mark.parametrize("tolerant", [False, True])
def test_a_norm_that_is_not_inflated_is_an_error(tolerant):
    state = images("SN").state_dict()
    del state["layer2.0.sn2.var_weight"]
    allowed = [r"var_weight"] if tolerant else []
    with pytest.raises(
        CheckpointError, match=r"1 weights of norms .*layer2\.0\.sn2\.var_weight"
    ) as caught:
        load_weights(small("SN"), state, "flat.pth", allowed)
    assert "allow_missing_weights" not in str(caught.value)


def test_weights_of_another_norm_are_an_error_that_says_what_helps():
    with pytest.raises(CheckpointError, match="bn_to_sn = 'uniform'"):
        load_weights(small("SN"), images("BN").state_dict(), "flat.pth")
    load_weights(small("SN"), images("BN").state_dict(), "flat.pth", bn_to_sn="uniform")


@pytest.mark.parametrize("norm", ["SN", "SyncSN", "SSN"])
def test_released_files_are_inflated(norm, tmp_path):
    """The weights that the configs start from, in the form of their authors."""
    theirs = released_models.ReleasedResNet()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "released.pth")
    network = I3DResNet(
        50,
        base_channels=2,
        norm_cfg=dict(type=norm, unbiased=True),
        init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "released.pth")),
    )
    network.init_weights()
    if norm == "SSN":
        return  # Its ratios are another function of the same parameters.
    with_equal_frames_outside(network)
    network.double().eval()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs.double().stages(x)
        # The released variances are unbiased: of one frame more so than of several alike.
        maps = network(x.unsqueeze(2).expand(-1, -1, 2, -1, -1))
    torch.testing.assert_close(maps[0][:, :, 0], expected[0], rtol=0.02, atol=0.02)


def test_sparse_norms_keep_what_they_have_settled_on():
    flat, network = images("SSN"), small("SSN")
    flat.layer1[0].sn1.harden()
    network.load_state_dict(flat.state_dict())
    assert network.layer1[0].sn1.choice == flat.layer1[0].sn1.choice != (None, None)
    assert network.layer1[1].sn1.choice == (None, None)
