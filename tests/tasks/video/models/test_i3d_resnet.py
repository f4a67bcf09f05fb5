"""I3D ResNets: the published layout, every norm, weights of 2-D networks, recomputation."""

from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from torch import nn

import normlib.openmmlab  # noqa: F401

# isort: split
from mmdet.models.backbones import ResNet

from normlib import SparseSwitchNorm, SwitchNorm, SyncSwitchNorm
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.fused_blocks import fuse_norm_activation
from normlib.openmmlab.pretrained import load_weights
from tasks.video.models import I3DResNet, TimeConv3d
from tasks.video.models.errors import ModelError

NORMS = {
    "BN": nn.BatchNorm3d,
    "GN": nn.GroupNorm,
    "SN": SwitchNorm,
    "SyncSN": SyncSwitchNorm,
    "SSN": SparseSwitchNorm,
}


def norm_cfg(name: str) -> dict:
    return {"type": name} | ({"num_groups": 4} if name == "GN" else {})


def small(name: str = "SN", **kwargs) -> I3DResNet:
    return I3DResNet(18, base_channels=8, norm_cfg=norm_cfg(name), **kwargs)


def images(name: str = "SN", **kwargs) -> ResNet:
    """A 2-D network that has been trained a little: no statistic and no ratio is as it began."""
    network = ResNet(18, base_channels=8, norm_cfg=norm_cfg(name), norm_eval=False, **kwargs)
    generator = torch.Generator().manual_seed(1)
    for key, value in network.state_dict().items():
        if value.is_floating_point() and value.dim() == 1:
            noise = 0.3 * torch.randn(value.shape, generator=generator)
            value.copy_(noise.exp() if key.endswith(("weight", "var")) else noise)
    return network


def with_equal_frames_outside(network: nn.Module) -> None:
    """Let convolutions over time see frames like those of the video where they see zeros."""
    for module in network.modules():
        if isinstance(module, TimeConv3d):
            frames = module.padding[0]
            module.padding = (0, *module.padding[1:])
            module.register_forward_pre_hook(
                lambda _, x, n=frames: (F.pad(x[0], (0, 0, 0, 0, n, n), mode="replicate"),)
            )


@pytest.mark.parametrize(
    ("depth", "millions", "stages"),
    [
        (50, 27.22, [[3, 3, 3], [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]]),
        (101, 50.93, [[3, 3, 3], [3, 1, 3, 1], [3, 1] * 11 + [3], [1, 3, 1]]),
    ],
)
def test_published_layout(depth, millions, stages):
    """Frames that the first convolution of every block covers; parameters of the backbone."""
    with torch.device("meta"):
        network = I3DResNet(depth)
    kernels = [[b.conv1.kernel_size[0] for b in getattr(network, f"layer{k}")] for k in range(1, 5)]
    assert kernels == stages
    assert network.conv1.kernel_size == (5, 7, 7)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(
    ("options", "frames", "sides"),
    [
        ({}, [32, 16, 16, 16], [16, 8, 4, 2]),
        ({"conv1_stride_t": 2, "pool1_stride_t": 2}, [8, 4, 4, 4], [16, 8, 4, 2]),
        (
            {"conv1_stride_t": 2, "pool1_kernel_t": 2, "pool1_stride_t": 2, "stem_pool": "valid"},
            [8, 4, 4, 4],
            [15, 8, 4, 2],
        ),
        ({"with_pool2": False}, [32, 32, 32, 32], [16, 8, 4, 2]),
    ],
)
def test_strides_over_time(options, frames, sides):
    with torch.device("meta"):
        maps = small(**options)(torch.empty(1, 3, 32, 64, 64))
    # The map of the first stage is that after its pooling over time.
    first = [frames[1] if k == 0 else count for k, count in enumerate(frames)]
    assert [tuple(m.shape[2:]) for m in maps] == [
        (t, side, side) for t, side in zip(first, sides, strict=True)
    ]


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_trains(name):
    network = small(name)
    norms = [m for m in network.modules() if isinstance(m, NORMS[name])]
    # The stem, two a block and one of each shortcut.
    assert len(norms) == 1 + 2 * 8 + 3
    network(torch.randn(2, 3, 4, 32, 32))[-1].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


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


def test_sparse_norms_keep_what_they_have_settled_on():
    flat, network = images("SSN"), small("SSN")
    flat.layer1[0].sn1.harden()
    network.load_state_dict(flat.state_dict())
    assert network.layer1[0].sn1.choice == flat.layer1[0].sn1.choice != (None, None)
    assert network.layer1[1].sn1.choice == (None, None)


@pytest.mark.parametrize("name", ["BN", "SN", "SSN"])
def test_recomputation_changes_neither_gradients_nor_running_statistics(name):
    plain, again = small(name).double(), small(name, with_cp=True).double()
    again.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 4, 32, 32, dtype=torch.float64)
    kept = []
    for network in (plain, again):
        size = 0

        def note(tensor):
            nonlocal size
            size += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            loss = network(x)[-1].square().mean()
        loss.backward()
        kept.append(size)
    for (key, one), (_, other) in zip(
        plain.named_parameters(), again.named_parameters(), strict=True
    ):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12, msg=key)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=0, atol=0, msg=key)
    assert again.layer1[0].norm1.momentum == 0.1
    assert kept[1] < kept[0] / 4


@pytest.mark.parametrize("name", ["SN", "BN"])
def test_norms_do_their_relu(name):
    network = small(name).double()
    x = torch.randn(2, 3, 4, 32, 32, dtype=torch.float64)
    network.eval()
    before = network(x)
    fused = fuse_norm_activation(network)
    assert fused == (1 + 2 * 8 if name == "SN" else 0)
    for one, other in zip(before, network(x), strict=True):
        torch.testing.assert_close(other, one)
    assert fuse_norm_activation(network) == 0


def test_frozen_stages_keep_their_inflated_kernels():
    network = small(frozen_stages=1)
    assert not network.conv1.weight.requires_grad
    assert not network.layer1[0].conv1.weight.requires_grad
    assert network.layer2[0].conv1.weight.requires_grad


def test_initial_weights():
    torch.manual_seed(0)
    network = MODELS.build(dict(type="I3DResNet", depth=18, base_channels=32))
    network.init_weights()
    kernel = network.conv1.weight
    assert kernel.std().item() == pytest.approx((2 / (32 * 5 * 7 * 7)) ** 0.5, rel=0.05)
    assert bool((network.layer1[0].norm2.weight == 1).all())
    network = MODELS.build(
        dict(type="I3DResNet", depth=50, base_channels=8, zero_init_residual=True)
    )
    network.init_weights()
    assert bool((network.layer1[0].norm3.weight == 0).all())
    assert bool((network.layer1[0].norm2.weight == 1).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "depth is 20; it is one of"),
        ({"conv1_kernel_t": 4}, "conv1_kernel_t is 4; it must be odd"),
        ({"pool1_stride_t": 0}, "pool1_stride_t is 0"),
        ({"stem_pool": "ceil"}, "stem_pool is 'ceil'; it is 'pad' or 'valid'"),
        ({"inflate": [[1, 1], [1], [1, 0], [0, 1]]}, r"stages of \[2, 1, 2, 2\] blocks; .* \[2, 2"),
        ({"deep_stem": True}, "deep_stem"),
        ({"norm_cfg": {"type": "LN"}}, r"norm_cfg\.type is 'LN', which does not normalise clips"),
        ({"norm_cfg": {"type": "SN2d"}}, "'SN2d', which does not normalise clips"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ModelError, match=message):
        I3DResNet(**({"depth": 18, "base_channels": 8} | options))


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 3, 1, 32, 32)])
def test_clips_of_a_wrong_shape(shape):
    with pytest.raises(ModelError, match=r"clips of shape \(N, C, T, H, W\) with 2 frames"):
        small()(torch.randn(shape))
