"""tools/convert_checkpoint.py, and what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

import normlib
from normlib.checkpoint.pixel_format import BGR_MEAN, RGB_STD, PixelFormat
from normlib.checkpoint.released import ReleasedFileError
from normlib.checkpoint.saving import OutputError, read_meta
from normlib.openmmlab.convert_checkpoint import convert_checkpoint
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.pixel_check import check_pixels
from normlib.openmmlab.safe_loading import load_file
from normlib.openmmlab.wrappers import bare_model
from tests.normlib.checkpoint import released_models as original

ROOT = Path(__file__).parents[2]
CONFIG = """
custom_imports = dict(imports=["tasks.classification"], allow_failed_imports=False)
default_scope = "mmdet"
work_dir = {work_dir!r}
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="ResNet",
        depth=50,
        base_channels=2,
        out_indices=(3,),
        norm_eval=False,
        norm_cfg=dict(type="SN", unbiased=True),
    ),
    head=dict(type="LinearClsHead", num_classes=5, in_channels=64),
)
"""

SEGMENTOR = """
custom_imports = dict(imports=["normlib.openmmlab"], allow_failed_imports=False)
default_scope = "mmseg"
work_dir = {work_dir!r}
norm_cfg = dict(type="SN", unbiased=True)
head = dict(type="FCNHead", channels=16, num_convs=1, concat_input=False, num_classes=4)
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="ResNet", depth=50, stem_channels=2, base_channels=2, norm_eval=False),
    decode_head=dict(head, in_channels=64, in_index=3),
    auxiliary_head=dict(head, in_channels=32, in_index=2),
)
"""


@pytest.fixture
def model():
    return original.ReleasedResNet().float()


@pytest.fixture
def path(model, tmp_path):
    """A file as the classification code saves it."""
    path = tmp_path / "r50.pth"
    torch.save(
        OrderedDict(
            state_dict=OrderedDict((f"module.{k}", v) for k, v in model.state_dict().items()),
            best_prec1=np.float64(76.9),
            epoch=100,
        ),
        path,
        _use_new_zipfile_serialization=False,
    )
    return str(path)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(work_dir=str(tmp_path / "work")))
    return str(path)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "new"
    return str(folder / "converted.pth")


def fresh(config, load_from=None):
    runner = build_runner(load_config(config, {"load_from": load_from}))
    runner.load_or_resume()
    return bare_model(runner.model).eval()


@torch.no_grad()
def test_command(path, config, model, tmp_path):
    out = tmp_path / "new" / "converted.safetensors"
    done = subprocess.run(
        [sys.executable, "tools/convert_checkpoint.py", path, out, "--config", config],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "norm_cfg=dict(type='SN', momentum=0.1, unbiased=True)" in done.stdout
    assert f"fits {config}: no weight is missing" in done.stdout
    images = torch.randn(2, 3, 64, 64)
    got = fresh(config, str(out))(images)
    torch.testing.assert_close(got, model(images), rtol=1e-3, atol=1e-3)


def test_a_mistake_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "tools/convert_checkpoint.py", tmp_path / "no.pth", tmp_path / "a.pth"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "no.pth does not exist" in done.stderr


@torch.no_grad()
@pytest.mark.parametrize("convert", [True, False])
def test_load_from_takes_it_converted_or_not(convert, path, config, model, out):
    if convert:
        convert_checkpoint([path], out)
    images = torch.randn(2, 3, 64, 64)
    got = fresh(config, out if convert else path)(images)
    torch.testing.assert_close(got, model(images), rtol=1e-3, atol=1e-3)


def test_the_backbone_alone(path, out, config):
    text = convert_checkpoint([path], out, config, backbone=True)
    assert "fits the backbone of" in text
    state = load_file(out)["state_dict"]
    assert "layer1.0.sn1.mean_weight" in state
    assert not any(key.startswith(("head", "backbone")) for key in state)


def released_segmentor(folder: Path) -> tuple[list[str], torch.nn.Module, torch.nn.Module]:
    """An encoder and a decoder under the names of published files."""
    encoder = original.ReleasedResNet(classes=0).float()
    decoder = original.ReleasedDecoder(64).float()
    start = folder / "checkpoints" / "resnet50d8_c1_deepsup_sn8x2_"
    start.parent.mkdir()
    sources = [f"{start}encoder.pth", f"{start}decoder.pth"]
    for source, module in zip(sources, (encoder, decoder), strict=True):
        torch.save(module.state_dict(), source)
    return sources, encoder, decoder


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_file_says_which_pixels_it_was_trained_on(tmp_path, suffix):
    sources, *_ = released_segmentor(tmp_path)
    out = str(tmp_path / f"one{suffix}")
    convert_checkpoint(sources, out)
    assert PixelFormat.from_record(read_meta(Path(out))["pixels"]) == BGR_MEAN
    pixels = {"type": "SegDataPreProcessor", "mean": list(RGB_STD.mean), "std": list(RGB_STD.std)}
    loader = {"dataset": {"pipeline": [{"type": "LoadImageFromFile"}]}}
    cfg = Config(
        {
            "model": {"data_preprocessor": pixels | {"bgr_to_rgb": True}},
            "load_from": out,
            "test_dataloader": loader,
        }
    )
    with pytest.raises(ConfigError, match=rf"{out}' was trained on BGR minus .* gets RGB minus"):
        check_pixels(cfg, pretrained=False)
    cfg.model.data_preprocessor.update(mean=[103, 116, 123], std=[1, 1, 1], bgr_to_rgb=False)
    check_pixels(cfg, pretrained=False)


def test_files_of_other_pixels_do_not_go_together(tmp_path, out):
    (_, decoder), *_ = released_segmentor(tmp_path)
    backbone = str(tmp_path / "checkpoints" / "resnet50_sn_8x4.pth")
    torch.save(original.ReleasedResNet(classes=0).float().state_dict(), backbone)
    with pytest.raises(CheckpointError, match=r"8x4.pth on RGB minus .*decoder.pth on BGR minus"):
        convert_checkpoint([backbone, decoder], out)
    assert not Path(out).exists()


@torch.no_grad()
def test_encoder_and_decoder_become_one(tmp_path, out):
    sources, encoder, decoder = released_segmentor(tmp_path)
    config = tmp_path / "segmentor.py"
    config.write_text(SEGMENTOR.format(work_dir=str(tmp_path / "work")))
    text = convert_checkpoint(sources, out, str(config))
    assert "segmentation encoder" in text
    assert "segmentation decoder" in text
    assert text.count("it was trained on pixels of BGR minus [102.98, 115.947, 122.772]") == 2
    assert "no weight is missing, 0 are left over" in text

    segmentor = fresh(str(config), out)
    images = torch.randn(2, 3, 64, 64)
    maps = segmentor.extract_feat(images)
    got = segmentor.decode_head(maps), segmentor.auxiliary_head(maps)
    torch.testing.assert_close(got, decoder(encoder.stages(images)), rtol=1e-3, atol=1e-3)
    with pytest.raises(CheckpointError, match="both hold backbone"):
        convert_checkpoint([sources[0], sources[0]], out, force=True)


def test_ratios_can_be_hardened(path, model, out):
    convert_checkpoint([path], out, harden=True)
    layer = normlib.SwitchNorm(2)
    state = load_file(out)["state_dict"]
    start = "backbone.sn1."
    layer.load_state_dict({k.removeprefix(start): v for k, v in state.items() if start in k})
    wanted = [
        ("in", "ln", "bn")[int(w.argmax())] for w in (model.sn1.mean_weight, model.sn1.var_weight)
    ]
    assert list(layer.choice) == wanted


class TestOutput:
    def test_a_file_that_exists_stays(self, path, tmp_path):
        out = tmp_path / "mine.pth"
        out.write_bytes(b"mine")
        with pytest.raises(OutputError, match=r"mine\.pth exists.*--force"):
            convert_checkpoint([path], str(out))
        assert out.read_bytes() == b"mine"
        convert_checkpoint([path], str(out), force=True)
        assert load_file(out)["state_dict"]

    def test_a_suffix_says_the_format(self, path, tmp_path):
        with pytest.raises(OutputError, match=r"'\.ckpt'.*\.safetensors"):
            convert_checkpoint([path], str(tmp_path / "a.ckpt"))

    def test_nothing_is_left_after_a_failure(self, path, tmp_path, monkeypatch):
        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", full)
        folder = tmp_path / "new"
        with pytest.raises(OutputError, match="No space left"):
            convert_checkpoint([path], str(folder / "a.pth"))
        assert list(folder.iterdir()) == []


class TestBadInput:
    def test_a_model_of_another_depth(self, path, out, config):
        text = Path(config).read_text().replace("depth=50", "depth=101")
        Path(config).write_text(text)
        with pytest.raises(CheckpointError, match=r"r50\.pth does not fit.*layer3\.6\.conv1"):
            convert_checkpoint([path], out, config)
        assert not Path(out).exists()

    def test_another_number_of_classes(self, path, out, config):
        text = Path(config).read_text().replace("num_classes=5", "num_classes=7")
        Path(config).write_text(text)
        with pytest.raises(CheckpointError, match=r"head\.fc\.weight.*allow_missing_weights"):
            convert_checkpoint([path], out, config)
        assert "no weight is missing" in convert_checkpoint(
            [path], out, _allowing(config, r"^head\.fc")
        )

    def test_a_file_cut_short(self, path, out):
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match=r"r50\.pth .*cut short.*fetch it again"):
            convert_checkpoint([path], out)

    def test_a_file_that_would_run_code(self, path, out, tmp_path):
        class Harm:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "harm"),)

        torch.save({"state_dict": {"conv1.weight": torch.ones(1)}, "x": Harm()}, path)
        with pytest.raises(CheckpointError, match=r"is refused.*mkdir"):
            convert_checkpoint([path], out)
        assert not (tmp_path / "harm").exists()

    def test_another_kind_of_file(self, path, out):
        torch.save(torch.nn.Linear(2, 2).state_dict(), path)
        with pytest.raises(ReleasedFileError, match="none of the released formats"):
            convert_checkpoint([path], out)
        torch.save([1, 2], path)
        with pytest.raises(CheckpointError, match="holds no state dict"):
            convert_checkpoint([path], out)


def _allowing(config, pattern):
    with open(config, "a") as stream:
        stream.write(f"\nallow_missing_weights = [{pattern!r}]\n")
    return config
