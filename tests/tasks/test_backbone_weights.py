"""The rule by which initial weights and pixels follow the norm."""

from __future__ import annotations

import pytest
from mmengine.config import Config

import normlib.openmmlab  # noqa: F401  serves the operators that mmseg imports
from tasks.backbone_weights import backbone_weights

RGB = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
DETECTRON = {"mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0], "bgr_to_rgb": False}


@pytest.fixture(autouse=True)
def net(tmp_path, monkeypatch):
    """Config reads the file that it is named after."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("")


def config(
    norm: dict, backbone: dict | None = None, pixels: dict | None = None, **options
) -> Config:
    return Config(
        {
            "norm_cfg": norm,
            "pretraining": None,
            "backbone_weights": {
                "BN": "torchvision://resnet50",
                "GN": "open-mmlab://detectron/resnet50_gn",
                "SN": {
                    "8x2": "checkpoints/resnet50_sn_8x2_segmentation.pth",
                    "8x4": "checkpoints/resnet50_sn_8x4.pth",
                },
            },
            "model": {
                "data_preprocessor": {"type": "SegDataPreProcessor"} | (pixels or {}),
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


def test_without_a_setting_it_is_the_first():
    cfg = config({"type": "SN"})
    backbone_weights(cfg)
    assert cfg.work_dir == "work_dirs/net_sn_8x2"


@pytest.mark.parametrize(
    ("init_cfg", "pixels", "work_dir"),
    [
        (None, RGB, "work_dirs/net_gn_scratch"),
        ({"type": "Pretrained", "checkpoint": "mine.pth"}, RGB, "work_dirs/net_gn"),
        (
            {"type": "Pretrained", "checkpoint": "open-mmlab://detectron/resnet50_gn"},
            DETECTRON,
            "work_dirs/net_gn",
        ),
    ],
)
def test_weights_of_the_config_stay(init_cfg, pixels, work_dir):
    backbone = {"type": "ResNet", "init_cfg": init_cfg}
    cfg = config({"type": "GN"}, backbone=dict(backbone))
    backbone_weights(cfg)
    assert cfg.model.backbone == backbone
    assert cfg.model.data_preprocessor == {"type": "SegDataPreProcessor"} | pixels
    assert cfg.work_dir == work_dir


def test_the_path_of_a_checkpoint_is_enough():
    cfg = config({"type": "SN"})
    cfg.merge_from_dict({"model.backbone.init_cfg.checkpoint": "mine.pth"})
    backbone_weights(cfg)
    assert cfg.model.backbone.init_cfg == {"type": "Pretrained", "checkpoint": "mine.pth"}


@pytest.mark.parametrize("pixels", [{"mean": [1, 2, 3], "std": [1, 1, 1]}, {"bgr_to_rgb": True}])
def test_pixels_of_the_config_stay(pixels):
    cfg = config({"type": "GN"}, pixels=pixels)
    backbone_weights(cfg)
    assert cfg.model.data_preprocessor == {"type": "SegDataPreProcessor"} | pixels


def test_without_a_table_pixels_are_the_usual_ones():
    cfg = config({"type": "SN"}, backbone_weights=None)
    backbone_weights(cfg)
    assert "init_cfg" not in cfg.model.backbone
    assert cfg.model.data_preprocessor == {"type": "SegDataPreProcessor"} | RGB
    assert cfg.work_dir == "work_dirs/net_sn"
    cfg = config({"type": "SN"}, {"type": "ResNet", "init_cfg": None}, backbone_weights=None)
    backbone_weights(cfg)
    assert cfg.work_dir == "work_dirs/net_sn"


def test_a_saved_config_can_be_given_another_norm_and_pretraining():
    cfg = config({"type": "SN"})
    backbone_weights(cfg)
    cfg.dump("net.py")
    again = Config.fromfile("net.py")
    backbone_weights(again)
    assert again.to_dict() == Config.fromfile("net.py").to_dict()
    again.merge_from_dict({"pretraining": "8x4"})
    backbone_weights(again)
    assert again.model.backbone.init_cfg.checkpoint == "checkpoints/resnet50_sn_8x4.pth"
    assert again.work_dir == "work_dirs/net_sn_8x4"
    again.merge_from_dict({"norm_cfg.type": "GN", "pretraining": None})
    backbone_weights(again)
    assert again.model.backbone.init_cfg.checkpoint == "open-mmlab://detectron/resnet50_gn"
    assert {key: again.model.data_preprocessor[key] for key in DETECTRON} == DETECTRON
    assert again.work_dir == "work_dirs/net_gn"


def test_what_a_saved_config_was_told_stays():
    cfg = config({"type": "SN"}, work_dir="mine", pixels={"mean": [1, 2, 3], "std": [1, 1, 1]})
    backbone_weights(cfg)
    cfg.model.backbone.init_cfg.checkpoint = "mine.pth"
    cfg.dump("net.py")
    again = Config.fromfile("net.py")
    again.merge_from_dict({"norm_cfg.type": "GN"})
    backbone_weights(again)
    assert again.model.backbone.init_cfg.checkpoint == "mine.pth"
    assert again.model.data_preprocessor.mean == [1, 2, 3]
    assert again.work_dir == "mine"


def test_a_work_dir_of_the_config_stays():
    cfg = config({"type": "SN"}, work_dir="mine")
    backbone_weights(cfg)
    assert cfg.work_dir == "mine"


@pytest.mark.parametrize("setting", ["8x8", 84])
def test_an_unknown_setting_is_an_error_that_lists_the_known(setting):
    with pytest.raises(ValueError, match=rf"pretraining is {setting!r}; .*SN has '8x2', '8x4'"):
        backbone_weights(config({"type": "SSN"}, pretraining=setting))


def test_a_setting_that_chooses_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"pretraining is '8x4', but GN has one checkpoint: open-"):
        backbone_weights(config({"type": "GN"}, pretraining="8x4"))
    own = {"type": "ResNet", "init_cfg": {"type": "Pretrained", "checkpoint": "mine.pth"}}
    with pytest.raises(ValueError, match=r"pretraining is '8x4', but the model has .* mine\.pth"):
        backbone_weights(config({"type": "SN"}, own, pretraining="8x4"))


def test_what_is_no_norm_is_left_to_the_check_of_norms():
    cfg = config({"type": "XN"})
    before = cfg.to_dict()
    backbone_weights(cfg)
    assert cfg.to_dict() == before


def test_a_norm_without_weights_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"for IN, .* SyncSSN; .*backbone_weights\.IN=PATH"):
        backbone_weights(config({"type": "IN"}))
