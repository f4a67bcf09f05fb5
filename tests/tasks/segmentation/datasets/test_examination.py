from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tasks.data_checks import DatasetError
from tasks.data_checks.drawing import PICTURE_SIDE
from tasks.data_checks.split_check import check_split
from tasks.segmentation.datasets import CheckedADE20KDataset
from tests.tasks.segmentation.conftest import write_image, write_label


def test_whole_sample(ade20k) -> None:
    ade20k.write_label(0, [0, 1, 1, 150])
    sample = ade20k.build().examine(0)
    assert sample.file == str(ade20k.images[0])
    assert sample.size == (40, 30)
    assert sample.labels == {0: 600, 149: 300}
    assert sample.problems == ()


def test_some_of_the_classes(cityscapes) -> None:
    cityscapes.write_label(1, [0, 10, 10, 255])
    dataset = cityscapes.build(metainfo={"classes": ("sky", "car")})
    assert dataset.examine(1).labels == {0: 432}
    assert dataset.label_unit == "pixels"


def test_problems_are_told(ade20k) -> None:
    ade20k.write_label(0, [1, 151, 200])
    ade20k.images[1].write_bytes(ade20k.images[1].read_bytes()[:-20])
    dataset = ade20k.build(**CheckedADE20KDataset.examined_with)
    sample = dataset.examine(0)
    assert sample.labels == {0: 400}
    assert [str(ade20k.labels[0]) in text for text in sample.problems] == [True]
    assert "has the values 151, 200" in sample.problems[0]
    sample = dataset.examine(1)
    assert (sample.size, len(sample.problems)) == (None, 1)
    assert "is cut off" in sample.problems[0]
    assert sample.labels == {0: 288, 1: 288}
    write_label(ade20k.labels[0], np.ones((2, 3)))
    assert "is 3 x 2, its image 40 x 30" in dataset.examine(0).problems[0]
    ade20k.labels[0].unlink()
    assert "cannot be read" in dataset.examine(0).problems[0]


@pytest.mark.parametrize(
    ("mode", "kind", "form"),
    [("L", "JPEG", "JPEG file, which mixes"), ("I;16", "PNG", "PNG file with 16-bit grey pixels")],
)
def test_label_of_another_form(ade20k, mode, kind, form) -> None:
    Image.new(mode, (40, 30)).save(ade20k.labels[0], kind)
    sample = ade20k.build(**CheckedADE20KDataset.examined_with).examine(0)
    assert sample.size == (40, 30)
    assert [f"{ade20k.labels[0]} is a {form}" in text for text in sample.problems] == [True]


def test_missing_label_is_a_problem_of_its_sample(ade20k, tmp_path) -> None:
    ade20k.labels[1].unlink()
    dataset = ade20k.build(**CheckedADE20KDataset.examined_with)
    check = check_split("train", dataset, tmp_path / "out" / "train")
    assert not check.usable
    assert f"- once:\n    {ade20k.labels[1]} cannot be read" in check.text
    assert "1 of 2 samples have problems" in check.text
    assert [path.name for path in check.files] == [
        "train_labels.csv",
        "train.png",
        "train_problems.txt",
    ]


def test_folder_without_any_label(ade20k) -> None:
    for label in ade20k.labels:
        label.unlink()
    with pytest.raises(DatasetError, match="2 of 2 labels are missing"):
        ade20k.build(**CheckedADE20KDataset.examined_with)


def test_wrong_values_are_one_kind(cityscapes, tmp_path) -> None:
    cityscapes.write_label(0, [0, 19])
    cityscapes.write_label(1, range(30))
    dataset = cityscapes.build(**CheckedADE20KDataset.examined_with)
    text = check_split("train", dataset, tmp_path / "train", pictures=0).text
    assert f"- 2 times:\n    {cityscapes.labels[0]} has the value 19; its values" in text
    assert f"\n    {cityscapes.labels[1]} has the values 19, 20, 21, 22, 23, ...; its" in text
    assert text.count("these look like gtFine_labelIds") == 1


def test_ignored_pixels_are_counted(ade20k, cityscapes) -> None:
    ade20k.write_label(0, [0, 1, 1, 255])
    assert ade20k.build().examine(0).ignored == 600
    cityscapes.write_label(0, [0, 255, 1])
    assert cityscapes.build().examine(0).ignored == 400


def test_picture(cityscapes) -> None:
    cityscapes.write_label(0, [255] * 600 + [0] * 599 + [13])
    dataset = cityscapes.build()
    picture = dataset.picture(0)
    assert picture.dtype == np.uint8
    assert picture.shape[0] <= picture.shape[1] == PICTURE_SIDE
    road, car = (dataset.metainfo["palette"][index][::-1] for index in (0, 13))
    # An image that is wider than high stands above its label, in the middle.
    middle = picture[:, PICTURE_SIDE // 2]
    legend = (picture == car).all(-1).any(1).nonzero()[0]
    below = middle[: legend.max() - 20]
    black = (below == 0).all(-1).nonzero()[0]
    of_road = (below == road).all(-1).nonzero()[0]
    assert abs(len(black) - len(of_road)) < 20
    assert len(picture) / 3 < black.min() < black.max() < of_road.min()
    for colour in (road, car):
        assert (picture[-30:] == colour).all(-1).sum() > 20


def test_picture_of_an_image_that_is_higher_than_wide(ade20k) -> None:
    write_image(ade20k.images[0], 40, 60)
    write_label(ade20k.labels[0], np.full((60, 40), 3))
    dataset = ade20k.build()
    picture = dataset.picture(0)
    sky = dataset.metainfo["palette"][2][::-1]
    rows, columns = (picture[: len(picture) * 3 // 4] == sky).all(-1).nonzero()
    assert columns.min() >= PICTURE_SIDE // 2
    assert rows.min() == 0


def test_picture_of_a_broken_file(cityscapes) -> None:
    dataset = cityscapes.build()
    cityscapes.labels[0].write_bytes(b"")
    with pytest.raises(DatasetError, match="is empty"):
        dataset.picture(0)


def test_picture_of_a_narrow_image(ade20k) -> None:
    write_image(ade20k.images[0], 2, 200)
    write_label(ade20k.labels[0], np.full((200, 2), 3))
    assert ade20k.build().picture(0).shape[1] >= 100
