"""SyncSN over two processes trains an I3D as one process with the whole batch does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import normlib.openmmlab  # noqa: F401  in the processes, before mmdet

# isort: split
from mmengine import dist
from mmengine.registry import MODELS

from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.wrappers import bare_model
from tasks.toy_data import kinetics
from tasks.video.models import ClipDataPreprocessor

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "video" / "toy" / "i3d_r18_toy.py"
VIDEOS = 4


@MODELS.register_module(force=True)
class WideClipPreprocessor(ClipDataPreprocessor):
    """Gives clips of the default dtype."""

    def normalize(self, clips: torch.Tensor) -> torch.Tensor:
        return super().normalize(clips).to(torch.get_default_dtype())


def train(rank: int, ranks: int, work_dir: str, data: str, with_cp: bool) -> dict[str, np.ndarray]:
    """Weights and statistics that a rank ends with, in float64."""
    launcher = "none"
    if ranks > 1:
        launcher = "pytorch"
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
        os.environ.update({key: str(value) for key, value in place.items()})
    options = {
        "kinetics_data.root": data,
        "norm_cfg.type": "SyncSN",
        "model.data_preprocessor.type": "WideClipPreprocessor",
        "model.backbone.base_channels": 8,
        "model.backbone.with_cp": with_cp,
        "model.head.in_channels": 64,
        "train_dataloader.batch_size": VIDEOS // ranks,
        "train_dataloader.sampler.shuffle": False,
        "train_cfg.max_epochs": 1,
        "randomness.seed": 0,
    }
    cfg = load_config(CONFIG, options)
    # Nothing random: the frames in the middle, the whole of them.
    cfg.train_dataloader.dataset.pipeline = cfg.val_dataloader.dataset.pipeline
    for part in ("val", "test"):
        for key in (f"{part}_dataloader", f"{part}_cfg", f"{part}_evaluator"):
            cfg[key] = None
    # The checkpoint's hook asks for a metric; averaging statistics would hide a difference.
    cfg.default_hooks = {"checkpoint": None}
    cfg.work_dir = work_dir
    torch.set_default_dtype(torch.float64)
    try:
        runner = build_runner(cfg, launcher)
        assert dist.get_world_size() == ranks
        runner.train()
        model = bare_model(runner.model)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
        return {key: value.clone().numpy() for key, value in model.state_dict().items()}
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("with_cp", [False, True], ids=["kept", "recomputed"])
def test_two_processes_train_as_one(with_cp, tmp_path, rank_pool):
    """Recomputation repeats the collectives of the forward pass."""
    root = tmp_path / "kinetics"
    root.mkdir()
    kinetics.generate(root, kinetics.KineticsToy(train=1, val=1, frames=16))
    alone = train(0, 1, str(tmp_path / "one"), str(root), with_cp=False)
    ranks = rank_pool(2).run(train, 2, str(tmp_path / "two"), str(root), with_cp)
    for key, value in alone.items():
        for rank in ranks:
            np.testing.assert_allclose(rank[key], value, rtol=1e-8, atol=1e-10, err_msg=key)
    moved = max(abs(alone[key]).max() for key in alone if key.endswith("running_mean"))
    assert moved > 1e-3
