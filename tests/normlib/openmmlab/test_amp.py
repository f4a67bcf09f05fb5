"""bfloat16 autocast on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from normlib.openmmlab.amp import CPUAmpOptimWrapper
from normlib.openmmlab.errors import ConfigError


def make(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return OPTIM_WRAPPERS.build(dict(type="CPUAmpOptimWrapper", optimizer=optimizer, **kwargs))


def test_forward_is_bfloat16_and_parameters_stay_float32():
    model = nn.Linear(4, 2)
    before = model.weight.clone()
    wrapper = make(model)
    with wrapper.optim_context(model):
        out = model(torch.ones(3, 4))
    assert out.dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")
    wrapper.update_params(out.float().sum())
    # Every output has the gradient 3 (samples) x 1 (input) for each weight.
    torch.testing.assert_close(model.weight, before - 0.1 * 3)
    assert model.weight.dtype == torch.float32


def test_gradients_accumulate():
    model = nn.Linear(4, 2)
    before = model.weight.clone()
    wrapper = make(model, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 2)
    for step in range(2):
        with wrapper.optim_context(model):
            loss = model(torch.ones(3, 4)).float().sum()
        wrapper.update_params(loss)
        assert torch.equal(model.weight, before) == (step == 0)


def test_resumes_from_a_gpu_run():
    model = nn.Linear(4, 2)
    wrapper = make(model)
    wrapper.update_params(model(torch.ones(3, 4)).sum())
    state = copy.deepcopy(wrapper.state_dict())
    other = make(model)
    other.load_state_dict({**state, "loss_scaler": {"scale": 1024.0}})
    momentum = other.optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert torch.equal(momentum, state["state"][0]["momentum_buffer"])
    assert "loss_scaler" not in other.state_dict()


def test_other_precisions_are_refused():
    with pytest.raises(ConfigError, match="float16"):
        CPUAmpOptimWrapper(dtype="float16", optimizer=None)
