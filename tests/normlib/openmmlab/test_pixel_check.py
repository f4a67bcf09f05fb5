"""Weights and pixels that do not belong together, and all configs, whose do."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.pixel_check import check_pixels

ROOT = Path(__file__).parents[3]
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)
SN = "checkpoints/resnet50_sn_8x2.pth"
ENCODER = "checkpoints/resnet50d8_c1_deepsup_gn_encoder.pth"
DETECTRON = "open-mmlab://detectron/resnet50_gn"
RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
NEARLY = dict(mean=[123.7, 116.8, 103.9], std=[58, 57, 57])
BGR = dict(mean=[103.53, 116.28, 123.675], std=[1, 1, 1])


def config(checkpoint=None, pixels=None, load="LoadImageFromFile", kind="mmdet", **keys) -> Config:
    name = {"mmdet": "DetDataPreprocessor", "mmseg": "SegDataPreProcessor"}[kind]
    init_cfg = checkpoint and dict(type="Pretrained", checkpoint=checkpoint)
    return Config(
        dict(
            model=dict(
                data_preprocessor=dict(type=name, **(pixels or {})),
                backbone=dict(type="ResNet", init_cfg=init_cfg),
            ),
            train_dataloader=dict(dataset=dict(pipeline=[dict(type=load), dict(type="Pack")])),
            **keys,
        )
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_all_configs_pass(path):
    check_pixels(load_config(path, needs_data=False))


class TestPasses:
    @pytest.mark.parametrize(
        ("checkpoint", "pixels", "load"),
        [
            (SN, dict(RGB, bgr_to_rgb=True), "LoadImageFromFile"),
            (SN, dict(RGB, bgr_to_rgb=True), "LoadImageChecked"),
            (SN, RGB, "LoadImageTensor"),
            (SN, dict(NEARLY, bgr_to_rgb=True), "mmcv.LoadImageFromFile"),
            (DETECTRON, BGR, "LoadImageFromFile"),
            (DETECTRON, dict(BGR, rgb_to_bgr=True), "LoadImageTensor"),
            (ENCODER, BGR, "LoadImageFromFile"),
        ],
    )
    def test_equal_pixels(self, checkpoint, pixels, load):
        check_pixels(config(checkpoint, pixels, load))

    @pytest.mark.parametrize(
        "cfg",
        [
            config("work_dirs/mine.pth", BGR),
            config(None, BGR),
            config(SN, BGR, load="LoadFromMemory"),
            Config(dict(model=config(SN, BGR).model)),
        ],
    )
    def test_what_is_not_known(self, cfg):
        check_pixels(cfg)

    @pytest.mark.parametrize("step", ["Normalize", "torchvision/ToDtype"])
    def test_a_pipeline_that_rescales(self, step):
        cfg = config(SN, dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]))
        cfg.train_dataloader.dataset.pipeline.append(dict(type=step))
        check_pixels(cfg)

    def test_grey_images(self):
        cfg = config(SN, BGR)
        cfg.train_dataloader.dataset.pipeline[0].color_type = "grayscale"
        check_pixels(cfg)


class TestMismatch:
    def test_says_what_is_expected_and_what_would_be_right(self):
        with pytest.raises(ConfigError) as error:
            check_pixels(config(SN, BGR))
        text = str(error.value)
        assert (
            "model.backbone.init_cfg.checkpoint = 'checkpoints/resnet50_sn_8x2.pth' was trained on "
            "RGB minus [123.675, 116.28, 103.53], divided by [58.395, 57.12, 57.375], but the "
            "model gets BGR minus [103.53, 116.28, 123.675] (LoadImageFromFile loads BGR"
        ) in text
        assert "allow_other_pixels = True" in text

    @pytest.mark.parametrize("load", ["LoadImageFromFile", "LoadImageTensor"])
    @pytest.mark.parametrize("checkpoint", [SN, DETECTRON, ENCODER])
    @pytest.mark.parametrize("change", ["bgr_to_rgb", "rgb_to_bgr", None])
    def test_the_remedy_is_one(self, checkpoint, load, change):
        wrong = dict(mean=[0, 0, 0], std=[255, 255, 255], **({change: True} if change else {}))
        cfg = config(checkpoint, wrong, load)
        with pytest.raises(ConfigError) as error:
            check_pixels(cfg)
        remedy = str(error.value).partition("model.data_preprocessor = ")[2].partition("), or")[0]
        cfg.model.data_preprocessor.update(eval(remedy + ")"))
        check_pixels(cfg)

    @pytest.mark.parametrize(
        "pixels",
        [
            RGB,
            dict(BGR, bgr_to_rgb=True),
            dict(mean=[123.675, 116.28, 103.53], std=[1, 1, 1], bgr_to_rgb=True),
            dict(mean=[123.675, 116.28, 105.53], std=RGB["std"], bgr_to_rgb=True),
            dict(mean=RGB["mean"], std=[58.395, 57.12, 59], bgr_to_rgb=True),
            {},
        ],
    )
    def test_each_part_counts(self, pixels):
        with pytest.raises(ConfigError, match="resnet50_sn_8x2"):
            check_pixels(config(SN, pixels))

    def test_the_places_that_name_weights(self):
        cfg = config(None, BGR, load_from=SN)
        with pytest.raises(ConfigError, match=r": load_from = "):
            check_pixels(cfg)
        for place in ("model.pretrained", "model.backbone.pretrained"):
            cfg = config(None, BGR)
            cfg.merge_from_dict({place: "open-mmlab://resnet50_v1c"})
            with pytest.raises(ConfigError, match=f": {place} = "):
                check_pixels(cfg)

    def test_an_evaluation_reads_the_checkpoint_alone(self):
        check_pixels(config(SN, BGR, load_from=DETECTRON), pretrained=False)
        with pytest.raises(ConfigError, match="load_from"):
            check_pixels(config(DETECTRON, BGR, load_from=SN), pretrained=False)

    def test_through_wrappers_and_of_the_test_data(self):
        cfg = config(SN, BGR)
        plain = cfg.pop("train_dataloader").dataset
        joined = dict(type="ConcatDataset", datasets=[dict(type="RepeatDataset", dataset=plain)])
        cfg.test_dataloader = dict(dataset=joined)
        with pytest.raises(ConfigError, match="LoadImageFromFile loads BGR"):
            check_pixels(cfg)

    def test_a_preprocessor_at_the_top_level(self):
        cfg = config(SN, kind="mmseg", data_preprocessor=dict(type="SegDataPreProcessor", **BGR))
        del cfg.model["data_preprocessor"]
        with pytest.raises(ConfigError, match="but the model gets BGR"):
            check_pixels(cfg)

    def test_of_a_config_of_mmseg(self, tmp_path):
        path = tmp_path / "fcn.py"
        path.write_text(
            "_base_ = ['mmseg::_base_/models/fcn_r50-d8.py', 'mmseg::_base_/datasets/ade20k.py']\n"
            "default_scope = 'mmseg'\n"
        )
        check_pixels(load_config(path))
        options = {"model.pretrained": None, "load_from": ENCODER}
        with pytest.raises(ConfigError, match=r"fcn\.py: load_from .*bgr_to_rgb=False"):
            check_pixels(load_config(path, options))

    def test_can_be_allowed(self, monkeypatch):
        said = []
        monkeypatch.setattr(
            "normlib.openmmlab.pixel_check.print_log", lambda text, logger: said.append(text)
        )
        check_pixels(config(SN, BGR, load_from=SN, allow_other_pixels=True))
        assert len(said) == 1
        assert "was trained on RGB" in said[0]
        with pytest.raises(ConfigError, match="allow_other_pixels is 'yes'"):
            check_pixels(config(SN, BGR, allow_other_pixels="yes"))
