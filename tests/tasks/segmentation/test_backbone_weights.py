"""The rule by which initial weights and pixels follow the norm."""

from __future__ import annotations

import pytest
from mmengine.config import Config

import normlib.openmmlab  # noqa: F401  serves the operators that mmseg imports
from tasks.segmentation.backbone_weights import backbone_weights

RGB = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
DETECTRON = {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0], "bgr_to_rgb": False}


@pytest.fixture(autouse=True)
def net(tmp_path, monkeypatch):
    """Config reads the file that it is named after."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("")


def config(norm: dict, backbone: dict | None = None, **options) -> Config:
    return Config(
        {
            "norm_cfg": norm,
            "pretraining": "8x2",
            "backbone_weights": {
                "BN": "torchvision://resnet50",
                "GN": "open-mmlab://detectron/resnet50_gn",
                "SN": {
                    "8x2": "checkpoints/resnet50_sn_8x2_segmentation.pth",
                    "8x4": "checkpoints/resnet50_sn_8x4.pth",
                },
            },
            "model": {
                "data_preprocessor": {"type": "SegDataPreProcessor", "mean": [0, 0, 0]},
                "backbone": backbone or {"type": "ResNet"},
            },
            **options,
        },
        filename="net.py",
    )


@pytest.mark.parametrize(
    ("norm", "checkpoint", "pixels"),
    [
        ("BN", "torchvision://resnet50", RGB),
        ("SyncBN", "torchvision://resnet50", RGB),
        ("GN", "open-mmlab://detectron/resnet50_gn", DETECTRON),
        ("SN", "checkpoints/resnet50_sn_8x2_segmentation.pth", RGB),
        ("SyncSN", "checkpoints/resnet50_sn_8x2_segmentation.pth", RGB),
        ("SSN", "checkpoints/resnet50_sn_8x2_segmentation.pth", RGB),
        ("SyncSSN", "checkpoints/resnet50_sn_8x2_segmentation.pth", RGB),
    ],
)
def test_weights_and_pixels_follow_the_norm(norm, checkpoint, pixels):
    cfg = config({"type": norm})
    backbone_weights(cfg)
    assert cfg.model.backbone.init_cfg == {"type": "Pretrained", "checkpoint": checkpoint}
    assert {key: cfg.model.data_preprocessor[key] for key in pixels} == pixels
    assert cfg.model.data_preprocessor.type == "SegDataPreProcessor"


def test_pretraining_chooses_among_the_weights_of_sn():
    cfg = config({"type": "SyncSN"}, pretraining="8x4")
    backbone_weights(cfg)
    assert cfg.model.backbone.init_cfg.checkpoint == "checkpoints/resnet50_sn_8x4.pth"
    assert cfg.work_dir == "work_dirs/net_syncsn_8x4"


def test_the_norm_of_the_backbone_counts():
    cfg = config({"backbone": {"type": "GN"}, "head": {"type": "SN"}})
    backbone_weights(cfg)
    assert cfg.model.backbone.init_cfg.checkpoint == "open-mmlab://detectron/resnet50_gn"
    assert cfg.work_dir == "work_dirs/net_gn"
    cfg = config({}, backbone={"type": "ResNet", "norm_cfg": {"type": "BN"}})
    backbone_weights(cfg)
    assert cfg.model.backbone.init_cfg.checkpoint == "torchvision://resnet50"


@pytest.mark.parametrize(
    "backbone",
    [
        {"type": "ResNet", "init_cfg": None},
        {"type": "ResNet", "init_cfg": {"type": "Pretrained", "checkpoint": "mine.pth"}},
    ],
)
def test_weights_and_pixels_of_the_config_stay(backbone):
    cfg = config({"type": "SN"}, backbone=dict(backbone))
    backbone_weights(cfg)
    assert cfg.model.backbone == backbone
    assert cfg.model.data_preprocessor == {"type": "SegDataPreProcessor", "mean": [0, 0, 0]}


def test_without_a_table_nothing_changes():
    cfg = config({"type": "SN"}, backbone_weights=None)
    before = cfg.to_dict()
    backbone_weights(cfg)
    assert cfg.to_dict() == before


def test_a_work_dir_of_the_config_stays():
    cfg = config({"type": "SN"}, work_dir="mine")
    backbone_weights(cfg)
    assert cfg.work_dir == "mine"


def test_an_unknown_setting_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"pretraining is '8x8'; .*SN has '8x2', '8x4'"):
        backbone_weights(config({"type": "SSN"}, pretraining="8x8"))


def test_a_norm_without_weights_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"nothing for IN, .*backbone_weights\.IN=PATH"):
        backbone_weights(config({"type": "IN"}))
