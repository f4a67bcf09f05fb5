"""Pixel formats, in words and as a record."""

from __future__ import annotations

import dataclasses
import json

import pytest

from normlib.checkpoint.pixel_format import BGR_MEAN, RGB_STD, PixelFormat


def test_are_readable():
    assert str(RGB_STD) == (
        "RGB minus [123.675, 116.28, 103.53], divided by [58.395, 57.12, 57.375]"
    )
    assert str(BGR_MEAN) == "BGR minus [102.98, 115.947, 122.772]"


@pytest.mark.parametrize("pixels", [RGB_STD, BGR_MEAN])
def test_record_and_back(pixels):
    record = json.loads(json.dumps(dataclasses.asdict(pixels)))
    assert PixelFormat.from_record(record) == pixels


@pytest.mark.parametrize(
    "record",
    [
        None,
        "RGB",
        {"order": "RGB"},
        {"order": "GBR", "mean": [1, 1, 1], "std": [1, 1, 1]},
        {"order": "RGB", "mean": [1, 1], "std": [1, 1, 1]},
        {"order": "RGB", "mean": [1, 1, "1"], "std": [1, 1, 1]},
    ],
)
def test_what_is_no_record(record):
    assert PixelFormat.from_record(record) is None
