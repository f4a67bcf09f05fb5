"""A copy to the host holds what was there when it was begun."""

from __future__ import annotations

import pytest
import torch

from normlib.host_copy import HostCopy


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
            ],
        ),
    ],
)
def test_it_holds_the_numbers_of_its_beginning(device):
    numbers = torch.arange(1000.0, device=device)
    copy = HostCopy(numbers + 1)
    numbers.zero_()
    for _ in range(2):
        assert copy.wait().device.type == "cpu"
        assert torch.equal(copy.wait(), torch.arange(1000.0) + 1)
