"""Row-wise SGD against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tasks.face.optimizers import RowSparseSGD

SETTINGS = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
]


def rows_of(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return torch.sparse_coo_tensor(rows[None], values[rows], values.shape)


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_rows_are_as_torch_has_them(setting):
    torch.manual_seed(0)
    start = torch.randn(5, 3)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    sparse, dense = RowSparseSGD([ours], **setting), torch.optim.SGD([theirs], **setting)
    for _ in range(4):
        gradient = torch.randn(5, 3)
        ours.grad, theirs.grad = rows_of(gradient, torch.randperm(5)), gradient
        sparse.step()
        dense.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("setting", SETTINGS)
def test_rows_without_a_gradient_stay(setting):
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(6, 3))
    alone = nn.Parameter(parameter.detach()[[1, 4]].clone())
    optimizer = RowSparseSGD([parameter], **setting)
    reference = torch.optim.SGD([alone], **setting)
    before = parameter.detach().clone()
    for _ in range(3):
        gradient = torch.randn(6, 3)
        parameter.grad = rows_of(gradient, torch.tensor([4, 1]))
        alone.grad = gradient[[1, 4]]
        optimizer.step()
        reference.step()
    torch.testing.assert_close(parameter[[1, 4]], alone)
    assert torch.equal(parameter[[0, 2, 3, 5]], before[[0, 2, 3, 5]])


def test_rows_named_twice_count_twice():
    parameter = nn.Parameter(torch.zeros(2, 1))
    optimizer = RowSparseSGD([parameter], lr=1.0, momentum=0.9)
    parameter.grad = torch.sparse_coo_tensor([[1, 1]], [[2.0], [3.0]], (2, 1))
    optimizer.step()
    assert parameter.flatten().tolist() == [0, -5]


def test_dense_and_sparse_parameters_together_and_the_closure():
    dense, sparse = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3, 2))
    optimizer = RowSparseSGD([dense, sparse], lr=0.5)

    def closure():
        dense.grad = torch.ones(2)
        sparse.grad = rows_of(torch.ones(3, 2), torch.tensor([2]))
        return 7.0

    assert optimizer.step(closure) == 7.0
    assert dense.tolist() == [0.5, 0.5]
    assert sparse[:, 0].tolist() == [1, 1, 0.5]
    assert sparse.grad.is_sparse


def test_state_survives_a_state_dict():
    def run(saved):
        torch.manual_seed(0)
        parameter = nn.Parameter(torch.ones(3, 2))
        optimizer = RowSparseSGD([parameter], lr=0.1, momentum=0.9)
        for step in range(4):
            if saved and step == 2:
                state = optimizer.state_dict()
                optimizer = RowSparseSGD([parameter], lr=0.1, momentum=0.9)
                optimizer.load_state_dict(state)
            parameter.grad = rows_of(torch.randn(3, 2), torch.tensor([0, 2]))
            optimizer.step()
        return parameter

    assert torch.equal(run(True), run(False))
