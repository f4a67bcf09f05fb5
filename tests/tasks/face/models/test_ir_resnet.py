"""IR-ResNet and the embedding neck: shapes, norms, the published layout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

import normlib.openmmlab  # noqa: F401
from normlib import SparseSwitchNorm, SwitchNorm, SyncSwitchNorm
from tasks.face.errors import ModelError
from tasks.face.models import EmbeddingNeck, IRResNet

ROOT = Path(__file__).parents[4]
NORMS = {
    "BN": nn.BatchNorm2d,
    "GN": nn.GroupNorm,
    "SN": SwitchNorm,
    "SyncSN": SyncSwitchNorm,
    "SSN": SparseSwitchNorm,
}


def norm_cfg(name: str) -> dict:
    return {"type": name} | ({"num_groups": 2} if name == "GN" else {})


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_trains(name):
    backbone = IRResNet(18, base_channels=8, norm_cfg=norm_cfg(name))
    neck = EmbeddingNeck(64, 2, 16, norm_cfg=norm_cfg(name))
    norms = [m for m in backbone.modules() if isinstance(m, NORMS[name])]
    # The stem, three a block and one of each shortcut.
    assert len(norms) == 1 + 3 * 8 + 4
    embeddings = neck(backbone(torch.randn(3, 3, 32, 32)))
    assert embeddings.shape == (3, 16)
    embeddings.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize(
    ("depth", "blocks", "millions"),
    [(18, [2, 2, 2, 2], 24.0), (34, [3, 4, 6, 3], 34.1), (50, [3, 4, 14, 3], 43.6),
     (100, [3, 13, 30, 3], 65.2)],
)  # fmt: skip
def test_depths(depth, blocks, millions):
    """Parameters with the neck, as insightface's networks have them."""
    with torch.device("meta"):
        backbone, neck = IRResNet(depth), EmbeddingNeck(norm_cfg={"type": "BN"})
    assert [len(getattr(backbone, f"layer{k}")) for k in range(1, 5)] == blocks
    count = sum(p.numel() for m in (backbone, neck) for p in m.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_block_by_hand():
    """Norm, convolution, norm, PReLU, convolution, norm, plus the input; then PReLU or not."""
    x = torch.randn(2, 8, 6, 6)
    for style, after in (("sn", True), ("arcface", False)):
        backbone = IRResNet(18, base_channels=8, style=style).eval()
        block = backbone.layer1[1]
        prelu = block.prelu
        nn.init.constant_(prelu.weight, 0.3)
        assert prelu.weight.shape == ((1,) if after else (8,))
        inner = prelu(block.bn2(block.conv1(block.bn1(x))))
        expected = block.bn3(block.conv2(inner)) + x
        torch.testing.assert_close(block(x), prelu(expected) if after else expected)


def test_squeeze_and_excitation():
    backbone = IRResNet(18, base_channels=16, use_se=True)
    block = backbone.layer1[1]
    se = block.se
    x = torch.randn(2, 16, 5, 5)
    factors = se.fc2(se.prelu(se.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
    torch.testing.assert_close(se(x), x * factors)
    backbone(torch.randn(1, 3, 32, 32)).sum().backward()
    assert se.fc1.weight.grad is not None


@pytest.mark.parametrize("name", ["SN", "SyncSN", "SSN"])
def test_an_embedding_has_layer_and_batch_statistics_alone(name):
    neck = EmbeddingNeck(8, 2, 6, norm_cfg={"type": name})
    assert neck.sn.normalizers == ("in", "ln", "bn")
    assert neck.embedding_norm.normalizers == ("ln", "bn")
    assert neck.embedding_norm.mean_weight.shape == (2,)
    neck(torch.randn(4, 8, 2, 2)).square().sum().backward()
    assert neck.embedding_norm.mean_weight.grad.abs().sum() > 0


def test_the_norm_of_the_embedding_may_be_another():
    neck = EmbeddingNeck(
        8, 2, 6, norm_cfg={"type": "SN"}, embedding_norm_cfg={"type": "BN1d", "eps": 2e-5}
    )
    assert isinstance(neck.embedding_norm, nn.BatchNorm1d)
    assert isinstance(neck.sn, SwitchNorm)
    assert isinstance(
        EmbeddingNeck(8, 2, 6, norm_cfg={"type": "BN"}).embedding_norm, nn.BatchNorm1d
    )
    assert isinstance(EmbeddingNeck(8, 2, 6).embedding_norm, nn.Identity)


@pytest.mark.parametrize(
    "cfg", [{"type": "IN"}, {"type": "SN", "normalizers": ("in",)}], ids=["IN", "SN"]
)
def test_a_norm_that_needs_positions_is_refused(cfg):
    with pytest.raises(ModelError, match=r"no .*instance statistics.*embedding_norm_cfg"):
        EmbeddingNeck(8, 2, 6, norm_cfg=cfg)


def test_another_image_size_is_named():
    neck = EmbeddingNeck(64, 7, norm_cfg={"type": "BN"})
    with pytest.raises(
        ModelError, match=r"map of 64 channels and 2 x 2 pixels.*images of 112 x 112"
    ):
        neck(IRResNet(18, base_channels=8)(torch.randn(2, 3, 32, 32)))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"depth": 20}, r"depth is 20; it is one of \[18, 34, 50, 100\]"),
     ({"depth": 18, "style": "ir"}, "style is 'ir'"),
     ({"depth": 18, "base_channels": 0}, "base_channels is 0; give 1 or more")],
)  # fmt: skip
def test_wrong_arguments(options, text):
    with pytest.raises(ModelError, match=text):
        IRResNet(**options)


def test_shortcuts_are_convolutions_of_stride_2():
    block = IRResNet(18, base_channels=8).layer2[0]
    x = torch.randn(2, 8, 9, 10)
    convolution, norm = block.downsample
    seen = []
    block.downsample.register_forward_hook(lambda module, inputs, output: seen.append(output))
    block(x)
    torch.testing.assert_close(seen[0], norm(nn.functional.conv2d(x, convolution.weight, None, 2)))


def test_narrow_maps_in_channels_last_stay_within_their_memory():
    """A C library that checks its heap ends the process otherwise."""
    program = (
        "import torch; from tasks.face.models import IRResNet; net = IRResNet(18, base_channels=4)"
        ".to(memory_format=torch.channels_last); "
        "x = torch.randn(8, 3, 56, 56).to(memory_format=torch.channels_last)\n"
        "for _ in range(3): net(x).sum().backward()"
    )
    checks = {"MALLOC_CHECK_": "3", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=os.environ | checks, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_dropout_must_be_a_probability():
    with pytest.raises(ModelError, match=r"dropout is 1\.5; it must lie in \[0, 1\)"):
        EmbeddingNeck(dropout=1.5)


def test_initial_weights():
    torch.manual_seed(0)
    backbone, neck = IRResNet(18, base_channels=16), EmbeddingNeck(128, 7, 64)
    for module in (backbone, neck):
        module.init_weights()
    conv = backbone.layer2[0].conv1.weight
    assert conv.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)
    assert neck.fc.weight.abs().max().item() == pytest.approx((3 / 6272) ** 0.5, rel=0.01)


def recognizer(**options):
    return MODELS.build(
        {
            "type": "FaceRecognizer",
            "backbone": {"type": "IRResNet", "depth": 18, "base_channels": 8},
            "neck": {
                "type": "EmbeddingNeck",
                "in_channels": 64,
                "map_size": 2,
                "out_channels": 16,
                "norm_cfg": {"type": "BN"},
            },
            "head": {"type": "PartialFC", "num_classes": 5, "in_channels": 16},
            **options,
        }
    )


def test_predictions_are_the_normalised_sum_of_both_views():
    model = recognizer().eval()
    images = torch.randn(3, 3, 32, 32)
    plain, mirrored = model(images), model(images.flip(3))
    torch.testing.assert_close(plain.norm(dim=1), torch.ones(3))
    results = model(images, torch.tensor([7, 8, 9]), mode="predict")
    embeddings = torch.stack([r["embedding"] for r in results])
    torch.testing.assert_close(embeddings, nn.functional.normalize(plain + mirrored))
    assert [int(r["index"]) for r in results] == [7, 8, 9]
    alone = torch.stack(
        [r["embedding"] for r in recognizer_without_flip(model)(images, mode="predict")]
    )
    torch.testing.assert_close(alone, plain)


def recognizer_without_flip(model):
    other = recognizer(flip=False).eval()
    other.load_state_dict(model.state_dict())
    return other


def test_training_gives_a_loss():
    model = recognizer()
    losses = model(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 4]), mode="loss")
    losses["loss"].backward()
    assert losses["loss"].item() > 0
    assert model.backbone.conv1.weight.grad.abs().sum() > 0
