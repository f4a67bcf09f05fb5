"""Pixels of clips on their way into a model."""

from __future__ import annotations

import pytest
import torch

import normlib.openmmlab  # noqa: F401  serves the operators that mmdet imports
from tasks.video.models import ClipDataPreprocessor
from tasks.video.models.errors import ModelError

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def clips(*views: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (*views, 4, 6, 5, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rgb_to_bgr", [False, True])
def test_normalised_clips(rgb_to_bgr, channels_last):
    preprocessor = ClipDataPreprocessor(MEAN, STD, rgb_to_bgr, channels_last)
    x = clips(2)
    pixels = preprocessor.normalize(x)
    turned = x.flip(-1) if rgb_to_bgr else x
    expected = (turned.double() - torch.tensor(MEAN).double()) / torch.tensor(STD).double()
    torch.testing.assert_close(
        pixels.double(), expected.permute(0, 4, 1, 2, 3), rtol=1e-5, atol=1e-5
    )
    assert pixels.dtype == torch.float32
    wanted = torch.channels_last_3d if channels_last else torch.contiguous_format
    assert pixels.is_contiguous(memory_format=wanted)


def test_a_batch_stays_bytes():
    data = {"inputs": clips(2, 3), "data_samples": torch.tensor([4, 5])}
    moved = ClipDataPreprocessor(MEAN, STD)(data, training=True)
    assert moved["inputs"].dtype == torch.uint8
    assert torch.equal(moved["inputs"], data["inputs"])
    assert torch.equal(moved["data_samples"], data["data_samples"])


def test_state_dicts_do_not_hold_the_pixels():
    assert not ClipDataPreprocessor(MEAN, STD).state_dict()


@pytest.mark.parametrize(("mean", "std"), [([0], [1]), (MEAN, [1, 0, 1])])
def test_arguments_out_of_range(mean, std):
    with pytest.raises(ModelError, match="three numbers"):
        ClipDataPreprocessor(mean, std)
