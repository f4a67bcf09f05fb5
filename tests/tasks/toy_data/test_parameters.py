"""What determines a generated set, the same for all of them."""

from __future__ import annotations

import pytest

from tasks.toy_data.ade20k import ADE20KToy
from tasks.toy_data.cityscapes import CityscapesToy
from tasks.toy_data.coco import CocoToy
from tasks.toy_data.imagenet import CLASSES, ImageNetToy
from tasks.toy_data.parameters import ToyParameters

SETS = (ADE20KToy, CityscapesToy, CocoToy, ImageNetToy)


@pytest.mark.parametrize("name", ["train", "val", "size", "seed"])
@pytest.mark.parametrize("parameters", SETS)
def test_out_of_range(parameters: type[ToyParameters], name: str) -> None:
    least = {"train": 1, "val": 1, "size": parameters.least_size, "seed": 0}[name]
    parameters(**{name: least})
    with pytest.raises(ValueError, match=f"{name} is {least - 1}; it must be at least {least}"):
        parameters(**{name: least - 1})


@pytest.mark.parametrize("parameters", SETS)
def test_number_of_pictures(parameters: type[ToyParameters]) -> None:
    times = len(CLASSES) if parameters is ImageNetToy else 1
    assert parameters(train=3, val=2).pictures == {"train": 3 * times, "val": 2 * times}
