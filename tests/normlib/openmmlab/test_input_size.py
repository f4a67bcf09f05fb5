"""The input size of a config's test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.config import Config
from torch import nn

from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.input_size import input_size

LOAD = dict(type="LoadImageFromFile")


def config(*steps):
    dataset = dict(type="Wrapper", dataset=dict(type="Data", pipeline=[LOAD, *steps]))
    return Config(dict(test_dataloader=dict(dataset=dataset)))


def padding(**attributes):
    return SimpleNamespace(data_preprocessor=SimpleNamespace(**attributes))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([dict(type="Resize", size=256), dict(type="CenterCrop", size=224)], (224, 224, None)),
        ([dict(type="Resize", scale=(1333, 800), keep_ratio=True)], (800, 1333, None)),
        ([dict(type="Crop", crop_size=(64, 96))], (64, 96, None)),
        ([dict(type="SampleFrames", clip_len=8), dict(type="Crop", size=64)], (64, 64, 8)),
    ],
)
def test_the_pipeline_names_it(steps, expected):
    assert input_size(config(*steps), nn.Module()) == expected


@pytest.mark.parametrize(
    "model", [padding(pad_size_divisor=32), padding(test_cfg=dict(size_divisor=32))]
)
def test_padding_counts_unless_the_size_is_given(model):
    cfg = config(dict(type="Resize", scale=(1333, 800)))
    assert input_size(cfg, model)[:2] == (800, 1344)
    assert input_size(cfg, model, (800, 1333))[:2] == (800, 1333)


def test_what_is_given_comes_first():
    cfg = config(dict(type="SampleFrames", clip_len=8), dict(type="Crop", size=64))
    size = input_size(cfg, nn.Module(), (32, 48), 4)
    assert size.shape(2) == (2, 3, 4, 32, 48)
    assert input_size(Config({}), nn.Module(), (32, 48)).shape(2) == (2, 3, 32, 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(), "names no image size; give --size H W"),
        (dict(size=(0, 5)), "--size 0 5: all must be 1 or more"),
        (dict(size=(4, 5), frames=0), "--size 4 5 --frames 0"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigError, match=message):
        input_size(config(), nn.Module(), **arguments)
