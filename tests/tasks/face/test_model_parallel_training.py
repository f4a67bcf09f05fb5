"""A model-parallel classifier through the Runner: any number of ranks trains and saves the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import normlib.openmmlab  # noqa: F401  in the processes, before tasks

# isort: split
from mmengine.registry import DATASETS, MODELS
from torch.utils.data import Dataset

from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import build_runner
from normlib.openmmlab.wrappers import bare_model
from tasks.face.models import FaceRecognizer

CLASSES = 7
BATCH = 8


@DATASETS.register_module(force=True)
class NoiseFaces(Dataset):
    """Images of noise, in the classes 0, 3, 6, 2, 5, ..."""

    metainfo = {"classes": tuple(map(str, range(CLASSES)))}

    def __len__(self) -> int:
        return 6 * BATCH

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        return {"inputs": torch.randn(3, 32, 32, generator=generator).double(),
                "data_samples": torch.tensor(3 * index % CLASSES)}  # fmt: skip


@MODELS.register_module(force=True)
class WideFaceRecognizer(FaceRecognizer):
    """In float64, where rounding does not hide a difference."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.double()


def config(work_dir: str, ranks: int, iterations: int, **changes):
    from mmengine.config import Config

    cfg = Config(
        dict(
            default_scope="mmengine",
            work_dir=work_dir,
            norm_cfg=None,
            runner_type="CheckedRunner",
            env_cfg=dict(dist_cfg=dict(backend="nccl")),
            randomness=dict(seed=0),
            model=dict(
                type="WideFaceRecognizer",
                backbone=dict(
                    type="IRResNet", depth=18, base_channels=8, norm_cfg=dict(type="SyncSN")
                ),
                neck=dict(type="EmbeddingNeck", in_channels=64, map_size=2, out_channels=16,
                          dropout=0.0, norm_cfg=dict(type="SyncSN")),
                head=dict(type="PartialFC", num_classes=CLASSES, in_channels=16,
                          loss=dict(type="ArcFace", scale=8.0)),
            ),
            train_dataloader=dict(
                batch_size=BATCH // ranks,
                num_workers=0,
                sampler=dict(type="DefaultSampler", shuffle=False),
                collate_fn=dict(type="default_collate"),
                dataset=dict(type="NoiseFaces"),
            ),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=iterations),
            optim_wrapper=dict(
                constructor="SwitchNormOptimWrapperConstructor",
                optimizer=dict(type="RowSparseSGD", lr=0.1, momentum=0.9, weight_decay=0.01),
                clip_grad=dict(max_norm=1.0),
            ),
            default_hooks=dict(
                checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False),
                logger=dict(type="LoggerHook", interval=1),
            ),
            log_processor=dict(by_epoch=False),
        )
    )  # fmt: skip
    cfg.merge_from_dict(changes)
    return cfg


def train(
    rank: int, ranks: int, work_dir: str, iterations: int = 4, launched: bool = False, **changes
) -> dict:
    """What a rank ends with: shape of its centres, and the gradient norms that it logged."""
    launcher = "none"
    if ranks > 1 or launched:
        launcher = "pytorch"
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
        os.environ.update({key: str(value) for key, value in place.items()})
    runner = build_runner(config(work_dir, ranks, iterations, **changes), launcher)
    runner.train()
    head = bare_model(runner.model).head
    norms = runner.message_hub.get_scalar("train/grad_norm").data[0].tolist()
    return {"own": len(head.weight), "first": head.first, "grad_norm": norms}


def saved(work_dir, iteration: int = 4) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, and the momentum of the class centres."""
    path = Path(work_dir, f"iter_{iteration}.pth")
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    states = checkpoint["optimizer"]["state"]
    (momentum,) = [
        s["momentum_buffer"] for s in states.values() if s["momentum_buffer"].shape == (CLASSES, 16)
    ]
    return dict(checkpoint["state_dict"]) | {"momentum": momentum}


def largest_difference(one: dict, other: dict) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The training in one process."""
    work_dir = tmp_path_factory.mktemp("alone")
    return work_dir, train(0, 1, str(work_dir))


@pytest.mark.slow
def test_two_ranks_train_and_save_as_one(alone, rank_pool, tmp_path):
    work_dir, reference = alone
    ends = rank_pool(2).run(train, 2, str(tmp_path))
    assert [(end["first"], end["own"]) for end in ends] == [(0, 4), (4, 3)]
    assert saved(tmp_path)["head.weight"].shape == (CLASSES, 16)
    assert largest_difference(saved(work_dir), saved(tmp_path)) < 1e-9
    # Clipping took part, by one norm on all ranks.
    assert min(reference["grad_norm"]) > 1.0
    for end in ends:
        assert end["grad_norm"] == pytest.approx(reference["grad_norm"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [(1, 2), (2, 1), (2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(ranks, alone, rank_pool, tmp_path):
    before, after = ranks
    options = {"train_dataloader.batch_size": 8} if 3 in ranks else {}
    if before == 1:
        train(0, 1, str(tmp_path), iterations=2, **options)
    else:
        rank_pool(before).run(_train, before, str(tmp_path), 2, options)
    resumed = {"resume": True, "load_from": str(tmp_path / "iter_2.pth"), **options}
    if after == 1:
        train(0, 1, str(tmp_path), **resumed)
    else:
        rank_pool(after).run(_train, after, str(tmp_path), 4, resumed)
    if not options:
        assert largest_difference(saved(alone[0]), saved(tmp_path)) < 1e-9
    else:  # Other batches: the shapes, and that it trained on.
        assert saved(tmp_path)["head.weight"].shape == (CLASSES, 16)
        assert largest_difference(saved(tmp_path, 2), saved(tmp_path)) > 1e-6


@pytest.mark.slow
def test_averaged_weights_of_a_part_are_refused(rank_pool, tmp_path):
    changes = {"custom_hooks": [{"type": "EMAHook"}]}
    with pytest.raises(AssertionError, match="EMAHook averages a model whose parameters are split"):
        rank_pool(2).run(_train, 2, str(tmp_path), 4, changes)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_sampled_classes_need_their_optimizer(kind, tmp_path):
    changes = {
        "model.head.sample_rate": 0.5,
        "optim_wrapper.optimizer": {"type": kind, "lr": 0.1, "_delete_": True},
    }
    with pytest.raises(ConfigError, match=f"type is '{kind}', and must be 'RowSparseSGD'"):
        train(0, 1, str(tmp_path), **changes)


def test_class_centres_may_be_left_out_of_clipping(tmp_path):
    """The norm is that of the other parameters, and the centres' gradient is not scaled."""
    ends = {}
    for clipped in (True, False):
        changes = {"model.head.clip_grad": clipped, "optim_wrapper.clip_grad.max_norm": 1e-9}
        train(0, 1, str(tmp_path / str(clipped)), 2, **changes)
        ends[clipped] = saved(tmp_path / str(clipped), 2)
    start = ends[True]["head.weight"]
    assert (ends[False]["momentum"].norm() / ends[True]["momentum"].norm()) > 100
    assert (ends[False]["head.weight"] - start).norm() > 1e-3


@pytest.mark.slow
def test_sampled_classes_of_one_process_that_was_launched(rank_pool, tmp_path):
    """DistributedDataParallel, which wraps the model, takes no sparse gradients."""
    changes = {"model.head.sample_rate": 0.5}
    (end,) = rank_pool(1).run(_train, 1, str(tmp_path), 2, changes, True)
    assert end["own"] == CLASSES
    assert saved(tmp_path, 2)["head.weight"].shape == (CLASSES, 16)


def test_accumulated_sparse_gradients(tmp_path):
    changes = {"model.head.sample_rate": 0.5, "optim_wrapper.accumulative_counts": 2}
    train(0, 1, str(tmp_path), **changes)
    assert saved(tmp_path)["head.weight"].isfinite().all()


def _train(
    rank: int, ranks: int, work_dir: str, iterations: int, changes: dict, launched: bool = False
) -> dict:
    return train(rank, ranks, work_dir, iterations, launched, **changes)


@pytest.mark.slow
def test_sampled_classes_on_two_ranks(rank_pool, tmp_path):
    """Sparse gradients go through the Runner, clipping and checkpoints."""
    ends = rank_pool(2).run(_train, 2, str(tmp_path), 4, {"model.head.sample_rate": 0.5})
    assert ends[0]["grad_norm"] == ends[1]["grad_norm"]
    assert saved(tmp_path)["head.weight"].shape == (CLASSES, 16)
    assert largest_difference(saved(tmp_path, 2), saved(tmp_path)) > 1e-6
