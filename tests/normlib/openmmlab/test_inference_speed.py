"""The inference of a config's network, timed with several norms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from normlib import SwitchNorm
from normlib.layers import Choice
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.inference_report import as_json, as_text
from normlib.openmmlab.inference_settings import Settings
from normlib.openmmlab.inference_speed import measure_inference_speed

CONFIGS = Path(__file__).parents[3] / "configs"
QUICK = Settings(batch_sizes=(1,), size=(12, 16), rounds=1)
PLAIN = replace(QUICK, variants=("BN", "SN"))
SEEN: list[torch.Tensor] = []


@MODELS.register_module(force=True)
class TimedNetwork(BaseModel):
    """Notes what it is given; with noise it never computes the same twice."""

    def __init__(self, noise=0.0, norm="SN"):
        super().__init__()
        norm_cfg = dict(type="GN", num_groups=2) if norm == "GN" else dict(type=norm)
        self.stem = ConvModule(3, 4, 3, norm_cfg=norm_cfg)
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.Identity() if norm == "GN" else SwitchNorm(4)
        self.head = nn.Linear(4, 5)
        self.noise = noise

    def forward(self, inputs, data_samples=None, mode="tensor"):
        assert mode == "tensor"
        SEEN.append(inputs)
        maps = self.norm(self.conv(self.stem(inputs)))
        SEEN.append(maps)
        noise = self.noise * torch.randn(len(inputs), 5, dtype=inputs.dtype)
        return self.head(maps.mean((2, 3)).to(inputs.dtype)) + noise


@pytest.fixture
def config(tmp_path):
    """A config, with arguments of its network."""
    SEEN.clear()

    def write(**arguments):
        path = tmp_path / "config.py"
        path.write_text(f"model = dict(type='TimedNetwork', **{arguments})\n")
        return str(path)

    return write


@pytest.fixture
def checkpoint(tmp_path):
    """Weights with one layer on batch statistics and one on others."""
    model = TimedNetwork()
    model.stem.norm.settle(Choice("ln", "in"))
    model.norm.settle(Choice("bn", "bn"))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


def test_every_variant_is_timed_on_every_batch_size(config, checkpoint):
    settings = replace(QUICK, batch_sizes=(1, 3), rounds=4)
    speed = measure_inference_speed(config(), checkpoint, settings)
    names = list(speed.norms)
    assert speed.norms["hard-folded-fused"] == {"folded": 1, "hard ln/in": 1}
    assert [(row.batch_size, row.variant) for row in speed.rows] == [
        (size, name) for size in (1, 3) for name in names
    ]
    for row in speed.rows:
        assert 0 < row.low <= row.milliseconds <= row.high
        assert row.images_per_second == pytest.approx(1e3 * row.batch_size / row.milliseconds)
        assert row.variant != "BN" or row.to_first == 1
    assert {len(images) for images in SEEN} == {1, 3}


def test_variants_that_compute_the_same_are_compared(config, checkpoint):
    speed = measure_inference_speed(config(), checkpoint, QUICK)
    assert list(speed.differences) == [
        "BN and BN-folded",
        "SN and SN-fused",
        "hard and hard-folded",
        "hard-folded and hard-folded-fused",
    ]
    assert all(0 <= difference < 1e-5 for difference in speed.differences.values())
    settings = replace(QUICK, variants=("SN", "SN-fused"))
    with pytest.raises(ConfigError, match="SN and SN-fused should compute the same, and differ by"):
        measure_inference_speed(config(noise=0.1), checkpoint, settings)


def test_the_report(config, checkpoint):
    speed = measure_inference_speed(config(), checkpoint, QUICK)
    text = as_text(speed)
    assert f"weights.pth; 12 x 16 pixels, float32, channels first, {speed.threads} thread" in text
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    table = [cells for cells in lines if cells]
    assert table[0] == ["variant", "batch", "ms", "10-90 %", "images/s", "x BN", "norm layers"]
    row = next(cells for cells in table if cells[0] == "hard-folded")
    assert (row[1], row[-1]) == ("1", "1 folded, 1 hard ln/in")
    assert "hard and hard-folded differ by" in text
    assert "the first is for means" in text
    assert "no learned ratios" not in text

    data = json.loads(as_json(speed))
    assert data["environment"]["torch"] == torch.__version__
    assert data["rows"][0]["variant"] == "BN"
    assert data["settings"]["size"] == [12, 16]


def test_without_a_checkpoint_the_report_says_what_hard_layers_are(config):
    speed = measure_inference_speed(config(), settings=QUICK)
    assert speed.norms["hard"] == {"hard in": 1, "hard ln": 1}
    assert "There are no learned ratios: hard layers take" in as_text(speed)
    soft = measure_inference_speed(config(), settings=PLAIN)
    assert "no learned ratios" not in as_text(soft)


def test_memory_format_autocast_and_threads(config):
    before = torch.get_num_threads()
    SEEN.clear()
    settings = replace(PLAIN, channels_last=True, amp="bfloat16", threads=before + 1)
    speed = measure_inference_speed(config(), settings=settings)
    assert speed.threads == before + 1
    assert torch.get_num_threads() == before
    images, maps = SEEN[-2:]
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert maps.dtype == torch.bfloat16
    assert "autocast to bfloat16, channels last" in as_text(speed)


def test_a_part(config):
    speed = measure_inference_speed(config(), settings=replace(PLAIN, module="stem"))
    assert speed.network == "ConvModule"
    assert speed.norms["SN"] == {"soft": 1}
    assert "config.py, stem (ConvModule)" in as_text(speed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(rounds=0), "--rounds is 0; it must be 1 or more"),
        (dict(threads=0), "--threads is 0"),
        (dict(batch_sizes=(1, 0)), "--batch-sizes is 1 0; all must be 1 or more"),
        (dict(variants=("BN", "XN")), "--norms XN: variants are BN, BN-folded, SN"),
        (dict(variants=()), "variants are BN"),
        (dict(amp="int8"), "--amp is 'int8'"),
        (dict(device="abacus"), "--device abacus: "),
        (dict(size=(0, 4)), "--size 0 4: all must be 1 or more"),
        (dict(size=(2, 4)), r"does not run on one tensor of shape \(1, 3, 2, 4\)"),
        (dict(size=None), "names no image size; give --size H W"),
        (dict(module="neck"), "--module neck: TimedNetwork has no such part; it has .*stem"),
        (dict(module="head"), r"config\.py, head does not run on one tensor"),
    ],
)
def test_mistakes(changes, message, config):
    with pytest.raises(ConfigError, match=message):
        measure_inference_speed(config(), settings=replace(QUICK, **changes))


def test_networks_and_weights_that_do_not_serve(config, tmp_path):
    with pytest.raises(ConfigError, match="has no switchable norm, and no batch norm"):
        measure_inference_speed(config(norm="GN"), settings=QUICK)
    with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
        measure_inference_speed(config(), "absent.pth", QUICK)
    torch.save({"state_dict": {"head.weight": torch.zeros(5, 4)}}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match="weights of the model are not in the file"):
        measure_inference_speed(config(), str(tmp_path / "part.pth"), QUICK)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("classification/toy/resnet18_toy.py", {"imagenet_data": None}, None),
        ("detection/toy/mask-rcnn_r18_fpn_toy.py", {"coco_data": None}, (64, 96)),
        ("segmentation/toy/deeplab_r18_toy-ade20k.py", {"ade20k_data": None}, (32, 64)),
        ("face/toy/arcface_ir18_toy.py", {}, (112, 112)),
        ("video/toy/i3d_r18_toy.py", {"kinetics_data": None}, None),
    ],
)
def test_every_task(name, options, size):
    settings = replace(QUICK, size=size, variants=("BN", "hard", "hard-folded"))
    speed = measure_inference_speed(str(CONFIGS / name), None, settings, options)
    assert [row.variant for row in speed.rows] == list(settings.variants)
    assert speed.differences["hard and hard-folded"] < 1e-4
    assert (speed.boxes is not None) == name.startswith("detection")
    assert ("on the same 128 boxes an image" in as_text(speed)) == name.startswith("detection")
    assert speed.size.frames == (8 if name.startswith("video") else None)
    assert ("clips/s" in as_text(speed)) == name.startswith("video")
