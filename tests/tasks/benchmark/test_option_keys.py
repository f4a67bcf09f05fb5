"""Keys of options: which say something to a config, and what is said of the others."""

from __future__ import annotations

import inspect
import re

import pytest
from mmengine.runner import Runner

from tasks.benchmark.option_keys import known_keys, why_unknown
from tasks.benchmark.plan import ROOT

CONFIG = {
    "config_rules": ["coco_data", "backbone_weights"],
    "model": {"backbone": {"init_cfg": None}, "test_cfg": {"rcnn": {"score_thr": 0.05}}},
    "optim_wrapper": {
        "optimizer": {"type": "SGD", "lr": 0.1},
        "paramwise_cfg": {"custom_keys": {"stage1": {"lr_mult": 0.1}}},
    },
    "param_scheduler": [{"type": "LinearLR"}, {"type": "MultiStepLR", "milestones": [8, 11]}],
    "env_cfg": {"mp_cfg": {"mp_start_method": "fork"}},
    "default_hooks": {"checkpoint": {"type": "CheckpointHook"}},
    "backbone_weights": {"SyncBN": {"8x32": "bn.pth"}},
    "img_ratios": [0.5, 1.0],
}


def why(key, *others):
    return why_unknown(key, CONFIG, [key, *others])


@pytest.mark.parametrize(
    "key",
    [
        "optim_wrapper.optimizer.lr", "param_scheduler.1.milestones", "param_scheduler.1.begin",
        "img_ratios.1", "env_cfg.cudnn_benchmark", "env_cfg.dist_cfg.timeout",
        "model.backbone.init_cfg", "optim_wrapper.paramwise_cfg.custom_keys.stage2.lr_mult",
        "backbone_weights.SyncSN.8x32",
        # The config has none of these.
        "load_from", "resume", "randomness.seed", "custom_hooks", "launcher", "visualizer.type",
        "log_level", "auto_scale_lr.enable", "norm_cfg.type", "fuse_norm_activation", "bn_to_sn",
        "find_unused_parameters", "coco_data.root", "pretraining",
    ],
)  # fmt: skip
def test_keys_that_say_something(key):
    assert why(key) is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("optim_wraper.optimizer.lr", "nothing reads 'optim_wraper'; did you mean 'optim_wrapper'"),
        ("custom_hoks", "nothing reads 'custom_hoks'; did you mean 'custom_hooks'"),
        ("coco_date.root", "did you mean 'coco_data'"),
        ("zzz.b", "nothing reads 'zzz'"),
        ("self", "nothing reads 'self'"),
        ("optim_wrapper.optimiser.lr", "no 'optimiser'; did you mean 'optimizer'?"),
        ("env_cfg.mp_cgf.mp_start_method", "env_cfg has no 'mp_cgf'; did you mean 'mp_cfg'?"),
        ("model.test_cfg.rcnnn.score_thr", "model.test_cfg has no 'rcnnn'"),
        ("param_scheduler.2.end", "param_scheduler is a list of 2, which has no '2'"),
        ("param_scheduler.end", "param_scheduler is a list of 2, which has no 'end'"),
        ("img_ratios.2", "img_ratios is a list of 2, which has no '2'"),
        ("model.backbone.init_cfg.type", "model.backbone.init_cfg is None, which holds no keys"),
        ("optim_wrapper.optimizer.lr.a", "optim_wrapper.optimizer.lr is 0.1"),
    ],
)
def test_keys_that_do_not(key, words):
    assert f"{key}: " in why(key)
    assert words in why(key)


def test_what_other_options_put_there_is_no_slip():
    assert why("default_hooks.checkpoint2.interval") is not None
    assert why("default_hooks.checkpoint2.interval", "default_hooks.checkpoint2.type") is None
    init_cfg = "model.backbone.init_cfg"
    assert why(f"{init_cfg}.type", f"{init_cfg}._delete_") is None


def test_every_key_that_is_looked_up_is_known():
    """A key that mmengine or normlib.openmmlab begins to read has to be added."""
    sources = [path.read_text() for path in ROOT.glob("normlib/openmmlab/**/*.py")]
    found = {key for text in sources for key in re.findall(r"\bcfg\.get\(\s*\"(\w+)\"", text)}
    found |= set(re.findall(r"self\.cfg\.get\(\s*'(\w+)'", inspect.getsource(Runner)))
    assert {"fuse_norm_activation", "bn_to_sn", "sync_bn", "compile", "model"} <= found
    assert found - known_keys({}) == set()
