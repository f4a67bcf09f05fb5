"""I3D ResNets: the published layout, every norm, recomputation, arguments."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS

import normlib.openmmlab  # noqa: F401
from normlib.openmmlab.fused_blocks import fuse_norm_activation
from tasks.video.models import I3DResNet
from tasks.video.models.errors import ModelError
from tests.tasks.video.models.networks import (
    NORMS,
    small,
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
