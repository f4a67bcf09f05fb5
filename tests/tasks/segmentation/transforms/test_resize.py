from __future__ import annotations

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

import tasks.segmentation  # noqa: F401  registers the transform


def resize(width, height, short_side, **options):
    image = np.zeros((height, width, 3), np.uint8)
    label = np.resize(np.array([0, 255], np.uint8), (height, width))
    results = {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]}
    transform = TRANSFORMS.build({"type": "ResizeShortSide", **options})
    return transform(results | {"short_side": short_side})


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((683, 512), 300, (400, 300)),
        ((512, 683), 600, (600, 800)),
        ((1000, 200), 600, (1000, 200)),  # the long side decides
        ((200, 1000), 300, (200, 1000)),
        ((2000, 500), 300, (1000, 250)),
    ],
)
def test_sizes(size, short_side, expected) -> None:
    results = resize(*size, short_side)
    width, height = expected
    assert results["img"].shape == (height, width, 3)
    assert results["gt_seg_map"].shape == results["img_shape"] == (height, width)
    assert results["scale"] == expected
    assert results["scale_factor"] == pytest.approx((width / size[0], height / size[1]))


def test_labels_are_not_mixed() -> None:
    assert set(np.unique(resize(31, 40, 57)["gt_seg_map"])) == {0, 255}


def test_longest_side_can_be_set() -> None:
    assert resize(100, 50, 100, max_size=150)["img"].shape == (75, 150, 3)


def test_without_a_short_side() -> None:
    transform = TRANSFORMS.build({"type": "ResizeShortSide"})
    with pytest.raises(ValueError, match=r"a\.jpg comes without a short side: .*ShortSideDataset"):
        transform({"img": np.zeros((4, 4, 3), np.uint8), "img_path": "a.jpg"})
