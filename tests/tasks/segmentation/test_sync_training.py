"""SyncSN over two processes trains as one process with the whole batch, through mmseg's model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import normlib.openmmlab  # noqa: F401  in the processes, before mmseg

# isort: split
from mmengine import dist
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS

from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.wrappers import bare_model
from tasks.toy_data import ade20k

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "configs" / "segmentation" / "toy" / "deeplab_r18_toy-ade20k.py"
ITERATIONS = 3
IMAGES = 4


@MODELS.register_module(force=True)
class WidePreProcessor(SegDataPreProcessor):
    """Gives images of the default dtype, where mmseg's gives float32."""

    def forward(self, data: dict, training: bool = False) -> dict:
        data = super().forward(data, training)
        return data | {"inputs": data["inputs"].to(torch.get_default_dtype())}


def load(work_dir: str, data: str, norm: str, images: int):
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "Resize", "scale": (40, 32), "keep_ratio": False},
        {"type": "PackSegInputs"},
    ]
    cfg = load_config(CONFIG, {"ade20k_data.root": data, "norm_cfg.type": norm})
    cfg.model.data_preprocessor.type = "WidePreProcessor"
    # PSPNet's head, whose pooled maps have few pixels.
    cfg.model.decode_head.update(type="PoolNormPSPHead", pool_scales=(1, 2))
    # A mean over all pixels: ranks have other numbers of those that are not ignored.
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.loss_decode.avg_non_ignore = False
    for key in ("num_convs", "concat_input"):
        cfg.model.decode_head.pop(key)
    cfg.train_dataloader = {
        "batch_size": images,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": cfg.train_dataloader.dataset.dataset | {"pipeline": pipeline},
    }
    cfg.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4}
    cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": ITERATIONS}
    for key in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader"):
        cfg[key] = None
    for key in ("test_cfg", "test_evaluator"):
        cfg[key] = None
    # The checkpoint's hook asks for a metric; averaging statistics would hide a difference.
    cfg.default_hooks = {"checkpoint": None}
    cfg.randomness = {"seed": 0}
    cfg.work_dir = work_dir
    return cfg


def train(rank: int, ranks: int, work_dir: str, data: str, norm: str, dtype: torch.dtype) -> dict:
    """Weights and statistics that a rank ends with."""
    launcher = "none"
    if ranks > 1:
        launcher = "pytorch"
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
        os.environ.update({key: str(value) for key, value in place.items()})
    torch.set_default_dtype(dtype)
    try:
        runner = build_runner(load(work_dir, data, norm, IMAGES // ranks), launcher)
        assert dist.get_world_size() == ranks
        runner.train()
        model = bare_model(runner.model)
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
        return {key: value.clone().numpy() for key, value in model.state_dict().items()}
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("ade20k")
    ade20k.generate(root, ade20k.ADE20KToy(train=IMAGES * 2, val=1, size=64))
    return str(root)


def largest_difference(one: dict, other: dict) -> tuple[float, str]:
    assert one.keys() == other.keys()
    return max((float(abs(one[key] - other[key]).max()), key) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["SyncSN", "SyncSSN"])
def test_two_processes_equal_one_with_the_whole_batch(norm, rank_pool, data, tmp_path):
    alone = train(0, 1, str(tmp_path / "one"), data, norm, torch.float64)
    first, second = rank_pool(2).run(train, 2, str(tmp_path / "two"), data, norm, torch.float64)
    assert largest_difference(alone, first)[0] < 1e-9
    statistics = [key for key in first if "running_" in key]
    assert len(statistics) > 20
    for key in first:
        assert (first[key] == second[key]).all(), key
    moved = max(float(abs(alone[key]).max()) for key in statistics if "mean" in key)
    assert moved > 1e-3


@pytest.mark.slow
def test_in_float32_as_well(rank_pool, data, tmp_path):
    alone = train(0, 1, str(tmp_path / "one"), data, "SyncSN", torch.float32)
    first, second = rank_pool(2).run(train, 2, str(tmp_path / "two"), data, "SyncSN", torch.float32)
    assert largest_difference(alone, first)[0] < 1e-6
    assert largest_difference(first, second)[0] == 0


@pytest.mark.slow
def test_statistics_that_are_not_synchronised_differ(rank_pool, data, tmp_path):
    """What the tests above would say of SN."""
    alone = train(0, 1, str(tmp_path / "one"), data, "SN", torch.float64)
    first, second = rank_pool(2).run(train, 2, str(tmp_path / "two"), data, "SN", torch.float64)
    assert largest_difference(alone, first)[0] > 1e-4
    assert any((first[key] != second[key]).any() for key in first if "running_" in key)
