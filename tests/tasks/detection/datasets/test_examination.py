from __future__ import annotations

import numpy as np
import pytest

from tasks.detection.datasets import DatasetError
from tests.tasks.detection.conftest import HEIGHT, WIDTH, write_image


def _examined(folder, **changes):
    return folder.build(check_images_up_to=0, **changes)


def test_whole_images(coco_folder) -> None:
    dataset = _examined(coco_folder)
    assert dataset.label_unit == "objects"
    first, second = dataset.examine(0), dataset.examine(1)
    assert first.file == str(coco_folder.img / "1.jpg")
    assert first.size == second.size == (WIDTH, HEIGHT)
    assert dict(first.labels) == {0: 1, 1: 1}
    assert dict(second.labels) == {}  # a crowd is no object
    assert first.problems == second.problems == ()


def _cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "is cut off"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("<html>"), "is not an image"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_images_that_cannot_be_read(coco_folder, damage, message: str) -> None:
    dataset = _examined(coco_folder)
    path = coco_folder.img / "1.jpg"
    damage(path)
    sample = dataset.examine(0)
    assert sample.size is None
    assert sum(sample.labels.values()) == 2
    assert len(sample.problems) == 1
    assert sample.problems[0].startswith(f"{path} {message}")
    with pytest.raises(DatasetError, match=message):
        dataset.picture(0)


def test_another_size_than_annotated(coco_folder) -> None:
    path = coco_folder.img / "1.jpg"
    write_image(path, WIDTH + 2, HEIGHT)
    dataset = _examined(coco_folder)
    sample = dataset.examine(0)
    assert sample.size == (WIDTH + 2, HEIGHT)
    assert sample.problems == (f"{path} is 42 x 30, annotated as 40 x 30",)
    assert dataset.picture(0).any()


@pytest.mark.parametrize("kept", [False, True])
def test_turned_by_exif_as_in_the_pipeline(coco_folder, kept: bool) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(coco_folder.img / "1.jpg", exif=exif)
    color_type = "color_ignore_orientation" if kept else "color"
    loading = {"type": "LoadImageFromFile", "color_type": color_type}
    sample = _examined(coco_folder, pipeline=[loading]).examine(0)
    assert sample.size == ((WIDTH, HEIGHT) if kept else (HEIGHT, WIDTH))
    assert bool(sample.problems) != kept


def test_picture_shows_boxes_and_masks(coco_folder) -> None:
    palette = [(255, 0, 0), (0, 0, 255)]
    metainfo = {"classes": ("cat", "dog"), "palette": palette}
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    from PIL import Image

    Image.fromarray(image).save(coco_folder.img / "1.jpg")
    Image.fromarray(image).save(coco_folder.img / "2.jpg")
    dataset = _examined(coco_folder, metainfo=metainfo)
    picture = dataset.picture(0)
    height, width = picture.shape[:2]
    assert picture.dtype == np.uint8
    assert width / height == WIDTH / HEIGHT
    scale = width / WIDTH
    # The cat's box [5, 5, 20, 10] in red, its mask in a part of that; nothing beyond both boxes.
    assert picture[round(10 * scale), round(5 * scale)].tolist() == [0, 0, 255]
    blue, green, red = picture[round(13 * scale), round(7 * scale)].tolist()
    assert blue == green == 0
    assert 50 < red < 150
    assert not picture[round(25 * scale) :, round(30 * scale) :].any()
    assert not picture[: round(1 * scale)].any()
    # Run lengths as well: the crowd covers the left half.
    crowd = dataset.picture(1)
    assert crowd[height // 2, width // 4].any()
    assert not crowd[height // 2, width * 3 // 4].any()


def test_pictures_without_masks_and_with_few_colours(coco_folder) -> None:
    for annotation in coco_folder.content["annotations"]:
        del annotation["segmentation"]
    dataset = _examined(coco_folder, metainfo={"classes": ("cat", "dog"), "palette": [(1, 2, 3)]})
    assert dataset.picture(0).any()


def test_what_is_filtered_out_is_not_counted(coco_folder) -> None:
    del coco_folder.content["annotations"][2]
    dataset = _examined(coco_folder, filter_cfg={"filter_empty_gt": True})
    assert len(dataset) == 1
    assert dataset.examine(0).file.endswith("1.jpg")
