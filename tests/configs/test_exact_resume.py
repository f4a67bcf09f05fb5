"""Every toy config ends, interrupted or not, with the same weights, bit for bit."""

import pytest
import torch

from tests.interruption import differences, last_checkpoint, train, train_with_stops
from tests.toy_tasks import ITERATIONS, TOYS

# In the middle of an epoch, or of the iterations between two checkpoints.
STOP = 3


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "norm"), [*((name, "SN") for name in TOYS), ("classification", "SSN"), ("face", "SSN")]
)
def test_an_interrupted_run_ends_as_the_whole_one(name, norm, tmp_path):
    task, data = TOYS[name], tmp_path / "data"
    data.mkdir()
    task.generate(data)
    options = task.run_options(data) | {"norm_cfg.type": norm}
    train(task.config, tmp_path / "whole", options)
    train_with_stops(task.config, tmp_path / "parts", [STOP], options=options)
    whole, parts = (last_checkpoint(tmp_path / part) for part in ("whole", "parts"))
    assert whole["meta"]["iter"] == parts["meta"]["iter"] == ITERATIONS
    assert differences(whole, parts) == []
