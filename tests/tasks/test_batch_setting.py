"""The batch settings of the papers as one key."""

from __future__ import annotations

import importlib

import pytest
from mmengine.config import Config
from mmengine.registry import FUNCTIONS

import normlib.openmmlab  # noqa: F401  serves the operators that mmdet imports
from tasks.batch_setting import batch_setting


def config(images=32, gpus=8):
    return Config(
        dict(
            train_dataloader=dict(batch_size=images),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            auto_scale_lr=dict(base_batch_size=gpus * images),
        )
    )


@pytest.mark.parametrize(
    ("setting", "images", "rate"),
    [("8x32", 32, 0.1), ("8x4", 4, 0.0125), ("8x1", 1, 0.003125), ("1x16", 16, 0.00625)],
)
def test_the_rate_is_linear_in_the_batch(setting, images, rate):
    cfg = config()
    cfg.batch_setting = setting
    batch_setting(cfg)
    assert cfg.train_dataloader.batch_size == images
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)
    gpus = int(setting.split("x")[0])
    assert cfg.auto_scale_lr.base_batch_size == gpus * images
    assert "batch_setting" not in cfg


@pytest.mark.parametrize(
    ("setting", "images", "rate"),
    [("8x64", 64, 0.1), ("10x52", 52, 0.1 * 520 / 512), ("16x32", 32, 0.1), (None, 64, 0.1)],
)
def test_any_batch_may_be_the_one_that_the_rate_is_for(setting, images, rate):
    cfg = config(images=64)
    cfg.batch_setting = setting
    batch_setting(cfg)
    assert cfg.train_dataloader.batch_size == images
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)


@pytest.mark.parametrize(
    ("norm", "setting", "normalizers"),
    [
        ("SN", "8x1", ("in", "ln")),
        ("SSN", "8x1", ("in", "ln")),
        ("SyncSN", "8x1", None),
        ("SN", "8x2", None),
        ("GN", "8x1", None),
    ],
)
def test_one_image_a_gpu_has_no_batch_statistics(norm, setting, normalizers):
    cfg = config()
    cfg.batch_setting, cfg.norm_cfg = setting, dict(type=norm)
    batch_setting(cfg)
    assert cfg.norm_cfg.get("normalizers") == normalizers


def test_parts_of_the_norm_cfg_too():
    cfg = config()
    cfg.batch_setting = "8x1"
    cfg.norm_cfg = dict(backbone=dict(type="SN"), head=dict(type="GN"))
    batch_setting(cfg)
    assert cfg.norm_cfg.backbone.normalizers == ("in", "ln")
    assert "normalizers" not in cfg.norm_cfg.head


def test_the_tasks_share_it():
    importlib.import_module("tasks.classification")
    assert FUNCTIONS.get("batch_setting") is batch_setting


@pytest.mark.parametrize("setting", ["8", "8x", "0x4", "8 x 4", 8])
def test_mistakes(setting):
    cfg = config()
    cfg.batch_setting = setting
    with pytest.raises(ValueError, match="such as '8x32'"):
        batch_setting(cfg)
