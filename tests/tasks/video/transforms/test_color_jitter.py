from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import TRANSFORMS
from torchvision.transforms.v2 import functional

import tasks.video.transforms  # noqa: F401

# No factor below takes these colours to 0 or 255.
CLIPS = np.random.default_rng(0).integers(90, 150, (2, 3, 8, 10, 3), np.uint8)


def jitter(clips, **options):
    return Compose([dict(type="ClipColorJitter", **options)])({"clips": clips})["clips"]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("brightness", functional.adjust_brightness),
        ("contrast", functional.adjust_contrast),
        ("saturation", functional.adjust_saturation),
    ],
)
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_against_torchvision(name, reference, factor):
    clips = CLIPS[:, :1]  # contrast is about the mean of the clip, which here is that of a frame
    found = jitter(clips, **{name: (factor, factor)})
    expected = reference(torch.from_numpy(clips).movedim(-1, -3), factor).movedim(-3, -1).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_hue_leaves_luma_and_greys():
    luma = [0.299, 0.587, 0.114]
    found = jitter(CLIPS, hue=(0.25, 0.25))
    assert np.abs(found @ luma - CLIPS @ luma).max() <= 1
    assert np.abs(found.astype(int) - CLIPS).max() > 10
    grey = np.full((1, 1, 4, 4, 3), 70, np.uint8)
    assert np.abs(jitter(grey, hue=0.5).astype(int) - 70).max() <= 1
    back = jitter(jitter(CLIPS, hue=(0.1, 0.1)), hue=(-0.1, -0.1))
    assert np.abs(back.astype(int) - CLIPS).max() <= 2


def test_one_draw_for_all_frames_of_a_clip():
    random.seed(0)
    same = np.broadcast_to(CLIPS[:1, :1], (4, 5, 8, 10, 3))
    found = jitter(same, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1)
    assert (found == found[:, :1]).all()
    assert len({clip.tobytes() for clip in found}) == 4


def test_all_changes_are_those_one_after_the_other():
    random.seed(0)
    factors = dict(
        brightness=(1.2, 1.2), contrast=(0.7, 0.7), saturation=(1.5, 1.5), hue=(0.1, 0.1)
    )
    expected = CLIPS
    for name, factor in factors.items():
        expected = jitter(expected, **{name: factor})
    assert np.abs(jitter(CLIPS, **factors).astype(int) - expected).max() <= 3


def test_factors_are_drawn_from_the_range():
    random.seed(0)
    grey = np.full((300, 1, 1, 1, 3), 100, np.uint8)
    found = jitter(grey, brightness=0.4)[:, 0, 0, 0, 0]
    assert 60 <= found.min() < 65
    assert 135 < found.max() <= 140


def test_colours_are_cut_off():
    assert (jitter(CLIPS, brightness=(9, 9)) == 255).all()


def test_nothing_asked_for_changes_nothing():
    assert (jitter(CLIPS) == CLIPS).all()


@pytest.mark.parametrize(
    "options", [dict(brightness=-1), dict(contrast=(2, 1)), dict(hue=0.6), dict(hue=(-1, 0))]
)
def test_mistakes(options):
    with pytest.raises(ValueError, match=f"ClipColorJitter has {next(iter(options))}="):
        TRANSFORMS.build(dict(type="ClipColorJitter", **options))
