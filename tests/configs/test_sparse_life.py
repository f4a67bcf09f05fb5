"""From soft ratios to one-hot ones in a backbone, and what a finetuning makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from normlib import SparseSwitchNorm
from normlib.openmmlab.launch import build_runner, load_config
from tasks.toy_data import coco, imagenet

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RELEASE = [dict(type="SparseScheduleHook", release_confidence=0.5)]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A classifier trained to the end of its radius schedule, and its checkpoint."""
    folder = tmp_path_factory.mktemp("life")
    imagenet.generate(folder / "imagenet", imagenet.ImageNetToy(train=8, val=1, size=32))
    options = {
        "imagenet_data.root": str(folder / "imagenet"),
        "norm_cfg.type": "SSN",
        "train_dataloader.batch_size": 4,
        "train_cfg.max_epochs": 1,
        "train_cfg.val_interval": 1,
        "default_hooks.checkpoint.interval": 1,
        "param_scheduler": [],
        "work_dir": str(folder / "run"),
    }
    runner = build_runner(load_config(CONFIGS / "classification/toy/resnet18_toy.py", options))
    runner.train()
    return runner.model, folder / "run" / "epoch_1.pth"


@pytest.fixture(scope="module")
def detection_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy_coco")
    coco.generate(folder, coco.CocoToy(train=4, val=1, size=64))
    return folder


def layers(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, SparseSwitchNorm)}


def finetuned(checkpoint, data, work_dir, custom_hooks):
    options = {
        "coco_data.root": str(data),
        "norm_cfg.type": "SSN",
        "model.backbone.init_cfg": dict(
            type="Pretrained", checkpoint=str(checkpoint), prefix="backbone.", _delete_=True
        ),
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "custom_hooks": custom_hooks,
        "work_dir": str(work_dir),
    }
    path = CONFIGS / "detection/toy/faster-rcnn_r18_fpn_toy.py"
    runner = build_runner(load_config(path, options))
    runner.train()
    return runner.model


@pytest.mark.slow
def test_at_the_end_every_layer_is_one_hot(pretrained):
    model, _ = pretrained
    found = layers(model)
    assert len(found) == 20
    for name, layer in found.items():
        assert None not in layer.choice, name
        for ratios in layer.ratios():
            assert sorted(ratios.tolist()) == [0, 0, 1], name


@pytest.mark.slow
def test_a_finetuning_keeps_the_choice(pretrained, detection_data, tmp_path):
    model, checkpoint = pretrained
    detector = finetuned(checkpoint, detection_data, tmp_path, [dict(type="SparseScheduleHook")])
    chosen = {name: layer.choice for name, layer in layers(model.backbone).items()}
    assert {n: x.choice for n, x in layers(detector.backbone).items()} == chosen


@pytest.mark.slow
def test_a_finetuning_releases_the_choice_where_asked(pretrained, detection_data, tmp_path):
    _, checkpoint = pretrained
    detector = finetuned(checkpoint, detection_data, tmp_path, RELEASE)
    # Two iterations end at a radius of 0.5, where ratios that start soft are not one-hot yet.
    assert not any(any(layer.choice) for layer in layers(detector.backbone).values())
