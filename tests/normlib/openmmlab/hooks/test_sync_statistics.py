from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook

from normlib import SwitchNorm
from normlib.openmmlab.hooks import SyncStatisticsHook


def running_mean_on_rank(rank, iteration, by_epoch):
    model = SwitchNorm(2)
    model.running_mean.fill_(float(rank))
    checkpoint = CheckpointHook(interval=4, by_epoch=by_epoch)
    runner = SimpleNamespace(hooks=[checkpoint], iter=iteration, max_iters=10, model=model)
    SyncStatisticsHook().after_train_iter(runner, 0)
    return model.running_mean.tolist()


@pytest.mark.parametrize(("iteration", "averaged"), [(2, False), (3, True), (4, False), (9, True)])
def test_ranks_agree_when_a_checkpoint_is_written(rank_pool, iteration, averaged):
    means = rank_pool(2).run(running_mean_on_rank, iteration, False)
    assert means == ([[0.5, 0.5]] * 2 if averaged else [[0, 0], [1, 1]])


def test_epoch_loops_are_left_to_the_end_of_the_epoch(rank_pool):
    assert rank_pool(2).run(running_mean_on_rank, 3, True) == [[0, 0], [1, 1]]


def test_alone_there_is_nothing_to_average():
    assert torch.tensor(running_mean_on_rank(1, 3, False)).eq(1).all()
