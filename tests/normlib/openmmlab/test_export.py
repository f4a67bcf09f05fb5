"""tools/export_model.py and what it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.registry import MODELS
from torch import nn

from normlib import SwitchNorm
from normlib.checkpoint.exported import run_exported
from normlib.layers import Choice
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.export import export_model
from normlib.openmmlab.launch import load_config

ROOT = Path(__file__).parents[3]
TINY = str(ROOT / "tests" / "tiny" / "config.py")
SIZE = (16, 24)
NO_DATA = {"coco_data": None}
PIXELS = "mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4], bgr_to_rgb=True"


@MODELS.register_module(force=True)
class TinyClassifier(BaseModel):
    """Returns logits on demand, as classifiers do."""

    def __init__(self, data_preprocessor=None, norm="SN"):
        super().__init__(data_preprocessor)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = SwitchNorm(4, activation="relu")
        self.soft = SwitchNorm(4)
        self.head = nn.Linear(4, 5)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode != "tensor":
            return dict(loss=inputs.sum())
        return self.head(self.soft(self.norm(self.conv(inputs))).mean((2, 3)))


@MODELS.register_module(force=True)
class OddPreprocessor(nn.Module):
    pass


@pytest.fixture
def classifier(tmp_path):
    """A config and a checkpoint, with the model in it."""

    def make(preprocessor=f"dict(type='ImgDataPreprocessor', {PIXELS})"):
        config = tmp_path / "config.py"
        config.write_text(
            "default_scope = 'mmengine'\n"
            f"model = dict(type='TinyClassifier', data_preprocessor={preprocessor})\n"
        )
        cfg = load_config(config)
        model = MODELS.build(cfg.model).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        nn.init.normal_(model.norm.running_mean)
        model.norm.settle(Choice("bn", "bn"))
        torch.save({"state_dict": model.state_dict()}, tmp_path / "epoch_1.pth")
        return str(config), str(tmp_path / "epoch_1.pth"), model

    return make


def assert_same(actual, expected):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


@torch.no_grad()
def test_a_classifier(classifier, tmp_path):
    config, checkpoint, model = classifier()
    report = export_model(config, checkpoint, "torch_export", size=SIZE)
    run = run_exported(tmp_path / "epoch_1.pt2", "torch_export")
    x = torch.randn(1, 3, 20, 33)
    assert_same(run(x), model(x))

    size = (tmp_path / "epoch_1.pt2").stat().st_size / 2**20
    assert f"epoch_1.pt2: {size:.1f} MiB, torch_export" in report
    assert "1 of 2 folded" in report
    assert re.search(r"1 kept: its ratios have not settled .* \(soft\)", report)
    assert "batch size: any; image size: any" in report
    assert "channels reversed, minus [123.7, 116.3, 103.5]" in report
    assert re.search(r"difference .*: \d\.\de-0[5-8] of the largest output", report)
    assert re.search(r"as trained .* ms \(1\.00\), folded .* ms \(.*\), the file .* ms", report)


@torch.no_grad()
def test_preprocessing_in_the_graph(classifier, tmp_path):
    config, checkpoint, model = classifier()
    report = export_model(config, checkpoint, "torch_export", size=SIZE, preprocess=True)
    images = torch.randint(256, (2, 3, 20, 28), dtype=torch.uint8)
    expected = model(model.data_preprocessor({"inputs": list(images)})["inputs"])
    run = run_exported(tmp_path / "epoch_1.pt2", "torch_export")
    assert_same(run(images.float()), expected)
    assert "pixels: 0 to 255, channels as the data set gives them; in the graph" in report


@torch.no_grad()
def test_onnx(classifier, tmp_path):
    config, checkpoint, model = classifier()
    out = tmp_path / "new" / "graph.onnx"
    export_model(config, checkpoint, "onnx", out=str(out), size=SIZE, preprocess=True)
    images = torch.randint(256, (3, 3, 25, 16))
    expected = model(model.data_preprocessor({"inputs": list(images)})["inputs"])
    assert_same(run_exported(out, "onnx")(images.float())[0], expected)


@pytest.mark.parametrize(
    ("preprocessor", "said"),
    [
        ("None", "as they are"),
        ("dict(type='mmseg.SegDataPreProcessor', mean=[1], std=[2], size_divisor=8, "
         "test_cfg=dict(size_divisor=8))", "minus [1], divided by [2]"),
        ("dict(type='mmdet.DetDataPreprocessor', mean=[1], std=[2], pad_size_divisor=32)",
         "padding, not in the graph: to multiples of 32, right and below, with 0"),
        ("dict(type='OddPreprocessor')", "what OddPreprocessor gives"),
    ],
)  # fmt: skip
def test_what_becomes_of_pixels_is_said(preprocessor, said, classifier):
    config, checkpoint, _ = classifier(preprocessor)
    assert said in export_model(config, checkpoint, "torch_export", size=SIZE)


def test_an_unknown_preprocessor_is_not_guessed_at(classifier):
    config, checkpoint, _ = classifier("dict(type='OddPreprocessor')")
    with pytest.raises(ConfigError, match=r"OddPreprocessor.*without --preprocess"):
        export_model(config, checkpoint, "torch_export", size=SIZE, preprocess=True)


@pytest.fixture
def resnet(tmp_path):
    """A detector's checkpoint, with half of the norms of the backbone on batch statistics."""
    config = ROOT / "configs/detection/toy/faster-rcnn_r18_fpn_toy.py"
    model = MODELS.build(load_config(config, NO_DATA).model)
    norms = [m for m in model.backbone.modules() if isinstance(m, SwitchNorm)]
    for norm in norms:
        nn.init.normal_(norm.mean_weight)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    for norm in norms[::2]:
        norm.settle(Choice("bn", "bn"))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "detector.pth")
    return str(config), str(tmp_path / "detector.pth"), model.eval()


@pytest.mark.slow
@torch.no_grad()
def test_the_backbone_of_a_detector(resnet, tmp_path):
    config, checkpoint, model = resnet
    part = dict(size=(64, 96), module="backbone", options=NO_DATA)
    report = export_model(config, checkpoint, "torch_export", **part)
    assert "10 of 20 folded" in report
    run = run_exported(tmp_path / "detector.backbone.pt2", "torch_export")
    for shape in ((1, 3, 32, 32), (3, 3, 96, 160)):
        x = torch.randn(shape)
        for actual, expected in zip(run(x), model.backbone(x), strict=True):
            assert_same(actual, expected)


def test_mistakes_are_explained_and_leave_no_file(classifier, tmp_path):
    config, checkpoint, model = classifier()
    arguments = (config, checkpoint, "torch_export")
    with pytest.raises(ConfigError, match=r"--module neck: TinyClassifier .* it has .*conv, norm"):
        export_model(*arguments, module="neck")
    with pytest.raises(ConfigError, match="--size 0 5"):
        export_model(*arguments, size=(0, 5))
    with pytest.raises(ConfigError, match=r"head cannot be exported: .*--module backbone"):
        export_model(*arguments, size=SIZE, module="head")
    with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
        export_model(config, "absent.pth", "torch_export")
    assert {path.name for path in tmp_path.iterdir()} == {"config.py", "epoch_1.pth"}

    weights = model.state_dict()
    del weights["soft.mean_weight"]
    torch.save(weights, checkpoint)
    with pytest.raises(CheckpointError, match=r"soft\.mean_weight"):
        export_model(*arguments, size=SIZE)
    (tmp_path / "epoch_1.pt2").touch()
    with pytest.raises(ConfigError, match=r"epoch_1\.pt2 exists already.*--force"):
        export_model(*arguments)


def command(*arguments, cwd):
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, str(ROOT / "tools/export_model.py"), *arguments]
    return subprocess.run(arguments, cwd=cwd, env=environ, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command(tmp_path):
    cfg = load_config(TINY)
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / "tiny.pth")
    arguments = (TINY, "tiny.pth", "--format", "torch_export", "--size", "8", "12")
    whole = command(*arguments, cwd=tmp_path)
    assert whole.returncode == 2
    assert "error: " in whole.stderr
    assert "missing 1 required positional argument" in whole.stderr
    assert "--module backbone" in whole.stderr
    assert "Traceback" not in whole.stderr

    options = ("--module", "backbone", "--cfg-options", "log_level=WARNING")
    part = command(*arguments, *options, cwd=tmp_path)
    assert part.returncode == 0, part.stderr
    assert "switchable norms: none" in part.stdout
    assert (tmp_path / "tiny.backbone.pt2").is_file()


def test_base_preprocessors_do_nothing_to_pixels():
    from normlib.openmmlab.pixels import Pixels

    x = torch.randn(1, 3, 2, 2)
    assert torch.equal(Pixels(BaseDataPreprocessor())(x), x)
