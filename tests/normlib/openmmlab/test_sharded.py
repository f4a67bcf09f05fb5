"""Parameters that ranks share: gradient norms and whole state dicts."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from normlib.openmmlab import sharded

TOTAL = 5


class Rows(nn.Module):
    """Rows 0 to 2 on rank 0, the others on rank 1."""

    def __init__(self, rank: int, ranks: int) -> None:
        super().__init__()
        first, count = (0, TOTAL) if ranks == 1 else ((0, 3), (3, 2))[rank]
        self.row_shards = {"weight": (first, TOTAL)}
        self.weight = nn.Parameter(torch.arange(first, first + count).double()[:, None] * 10)


def model(rank: int, ranks: int) -> nn.Module:
    return nn.ModuleDict({"body": nn.Linear(2, 1).double(), "head": Rows(rank, ranks)})


def give_gradients(net: nn.Module, sparse: bool = False) -> list[nn.Parameter]:
    for parameter in net.body.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    first, _ = net.head.row_shards["weight"]
    rows = torch.arange(first + 1, first + 1 + len(net.head.weight)).double()[:, None]
    net.head.weight.grad = rows.to_sparse(1) if sparse else rows
    return list(net.parameters())


def clipped(rank: int, ranks: int, max_norm: float, sparse: bool) -> tuple[float, float, list]:
    net = model(rank, ranks)
    parameters = give_gradients(net, sparse)
    own = [shard.parameter for shard in sharded.row_shards(net)]
    total = sharded.clip_grad_norm(parameters, own, max_norm)
    gradient = net.head.weight.grad
    dense = gradient.to_dense() if sparse else gradient
    return total.item(), net.body.bias.grad.item(), dense.flatten().tolist()


def test_one_process_has_nothing_sharded():
    assert sharded.row_shards(model(0, 1)) == []


@pytest.mark.parametrize("sparse", [False, True])
def test_the_norm_is_torchs(sparse):
    net = model(0, 1)
    parameters = give_gradients(net)
    expected = torch.nn.utils.clip_grad_norm_(parameters, 3.0).item()
    total, bias, rows = clipped(0, 1, 3.0, sparse)
    assert total == pytest.approx(expected)
    assert bias == pytest.approx(net.body.bias.grad.item())
    assert rows == pytest.approx(net.head.weight.grad.flatten().tolist())


def test_gradients_within_the_limit_stay():
    assert clipped(0, 1, 1e9, False)[1:] == (2.0, [1, 2, 3, 4, 5])
    assert clipped(0, 1, float("inf"), False)[1:] == (2.0, [1, 2, 3, 4, 5])


def test_a_norm_that_is_not_finite_can_be_an_error():
    parameter = nn.Parameter(torch.ones(1))
    parameter.grad = torch.tensor([float("nan")])
    with pytest.raises(RuntimeError, match="total norm of the gradients is nan"):
        sharded.clip_grad_norm([parameter], [], 1.0, error_if_nonfinite=True)


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [False, True])
def test_ranks_together_have_the_norm_of_one(rank_pool, sparse):
    total, bias, rows = clipped(0, 1, 3.0, sparse)
    (t0, b0, r0), (t1, b1, r1) = rank_pool(2).run(clipped, 2, 3.0, sparse)
    assert t0 == t1 == pytest.approx(total)
    assert b0 == b1 == pytest.approx(bias)
    assert r0 + r1 == pytest.approx(rows)


def states(rank: int) -> tuple[list, list, list]:
    """The rows in state dicts inside and outside the block, and of the momentum inside."""
    net = model(rank, 2)
    optimizer = OptimWrapper(torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9))
    give_gradients(net)
    optimizer.step()
    with sharded.whole_state(net, optimizer):
        inside = net.state_dict()["head.weight"].flatten().tolist()
        momentum = optimizer.state_dict()["state"][2]["momentum_buffer"].flatten().tolist()
    return inside, net.state_dict()["head.weight"].flatten().tolist(), momentum


@pytest.mark.slow
def test_state_dicts_of_rank_0_are_whole_inside_the_block(rank_pool):
    (inside, outside, momentum), (theirs, own, _) = rank_pool(2).run(states)
    assert inside == [0, 10, 20, 30, 40]
    assert outside == [0, 10, 20]
    assert momentum == [1, 2, 3, 4, 5]
    assert theirs == own == [30, 40]


def loaded(rank: int) -> tuple[list, int]:
    net = model(rank, 2)
    optimizer = OptimWrapper(torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9))
    give_gradients(net)
    optimizer.step()
    with sharded.whole_state(net, optimizer):
        state = optimizer.state_dict()
    state["state"][2]["momentum_buffer"] = torch.arange(TOTAL).double()[:, None]
    sharded.prepare_optimizer(optimizer, net)
    optimizer.load_state_dict(state)
    momentum = optimizer.optimizer.state[net.head.weight]["momentum_buffer"]
    return momentum.flatten().tolist(), len(state["state"][2]["momentum_buffer"])


@pytest.mark.slow
def test_an_optimizer_takes_its_own_rows(rank_pool):
    assert rank_pool(2).run(loaded) == [([0, 1, 2], TOTAL), ([3, 4], TOTAL)]
