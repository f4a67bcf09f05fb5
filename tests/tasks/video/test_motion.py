"""What the toy videos ask for: a network that sees time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from normlib.openmmlab.launch import build_runner, load_config
from tasks.toy_data import kinetics

ROOT = Path(__file__).resolve().parents[3]


@TRANSFORMS.register_module()
class ShuffledFrames(BaseTransform):
    """Puts the frames of each clip in another order."""

    def transform(self, results):
        order = list(range(results["clips"].shape[1]))
        random.Random(results["index"]).shuffle(order)
        results["clips"] = results["clips"][:, order]
        return results


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_shuffled_frames_destroy_the_accuracy(tmp_path):
    """Chance is 12.5 %; the order of frames tells the two classes of a pair apart."""
    root = tmp_path / "kinetics"
    root.mkdir()
    kinetics.generate(root, kinetics.KineticsToy())
    options = {
        "kinetics_data.root": str(root),
        "model.backbone.base_channels": 16,
        "model.head.in_channels": 128,
        "train_dataloader.batch_size": 16,
        "train_cfg.max_epochs": 12,
        "train_cfg.val_interval": 12,
        "randomness.seed": 0,
    }
    cfg = load_config(ROOT / "configs/video/toy/i3d_r18_toy.py", options)
    cfg.work_dir = str(tmp_path / "run")
    cfg.test_dataloader.dataset.pipeline = list(cfg.val_dataloader.dataset.pipeline)
    cfg.test_dataloader.dataset.pipeline.insert(3, dict(type="ShuffledFrames"))
    runner = build_runner(cfg)
    runner.train()
    in_order = runner.message_hub.get_scalar("val/accuracy/top1").current()
    shuffled = runner.test()["accuracy/top1"]
    assert in_order > 50
    assert shuffled < in_order / 2
