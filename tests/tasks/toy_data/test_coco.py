from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from shapely.geometry import MultiPolygon, Polygon

from tasks.toy_data.coco import CocoToy, generate

TOY = CocoToy(train=36, val=6, size=96, seed=3)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    generate(folder, TOY)
    return folder


@pytest.fixture(scope="module")
def train(toy: Path) -> COCO:
    return COCO(str(toy / "annotations" / "instances_train.json"))


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_same_parameters_give_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, TOY)
    assert _digests(tmp_path) == _digests(toy)


def test_seed_and_split_change_every_picture(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, CocoToy(train=6, val=6, size=96, seed=4))
    names = [f"{number:06d}.jpg" for number in range(1, 7)]
    pictures = [root / split / n for root in (toy, tmp_path) for split in ("train", "val")
                for n in names]  # fmt: skip
    assert len({path.read_bytes() for path in pictures}) == 24


def test_larger_set_begins_with_the_smaller_one(toy: Path, tmp_path: Path) -> None:
    generate(tmp_path, CocoToy(train=4, val=1, size=96, seed=3))
    large, small = _digests(toy), _digests(tmp_path)
    pictures = [name for name in small if name.endswith(".jpg")]
    assert len(pictures) == 5
    assert all(small[name] == large[name] for name in pictures)


def test_progress_counts_pictures(tmp_path: Path) -> None:
    calls = []
    generate(tmp_path, CocoToy(train=2, val=1, size=64), lambda *state: calls.append(state))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("split", ["train", "val"])
def test_pictures_are_as_annotated(toy: Path, split: str) -> None:
    content = json.loads((toy / "annotations" / f"instances_{split}.json").read_text())
    assert len(content["images"]) == getattr(TOY, split)
    for image in content["images"]:
        pixels = cv2.imread(str(toy / split / image["file_name"]))
        assert pixels.shape == (image["height"], image["width"], 3)
        assert max(pixels.shape) == TOY.size
    assert {path.name for path in (toy / split).iterdir()} == {
        image["file_name"] for image in content["images"]
    }


def test_variety(train: COCO) -> None:
    annotations = list(train.anns.values())
    single = [annotation for annotation in annotations if not annotation["iscrowd"]]
    assert {annotation["category_id"] for annotation in single} == set(train.cats)
    assert sum(annotation["iscrowd"] for annotation in annotations) == TOY.train / 6
    assert sum(not train.imgToAnns[number] for number in train.imgs) == TOY.train / 12
    assert any(len(annotation["segmentation"]) > 1 for annotation in single)  # cut in pieces
    areas = [annotation["area"] for annotation in single]
    assert max(areas) > 6 * min(areas)
    assert len({(image["width"], image["height"]) for image in train.imgs.values()}) == 3


def test_crowd_is_encoded_as_coco_does(train: COCO) -> None:
    crowds = [annotation for annotation in train.anns.values() if annotation["iscrowd"]]
    for crowd in crowds:
        image = train.imgs[crowd["image_id"]]
        assert crowd["segmentation"]["size"] == [image["height"], image["width"]]
        encoded = train.annToRLE(crowd)
        assert mask_api.toBbox(encoded).tolist() == crowd["bbox"]
        assert mask_api.area(encoded) == crowd["area"]


def test_boxes_and_areas_are_those_of_the_polygons(train: COCO) -> None:
    for annotation in train.anns.values():
        if annotation["iscrowd"]:
            continue
        polygons = [Polygon(np.reshape(p, (-1, 2))) for p in annotation["segmentation"]]
        assert all(polygon.is_valid for polygon in polygons)
        low_x, low_y, high_x, high_y = MultiPolygon(polygons).bounds
        expected = [low_x, low_y, high_x - low_x, high_y - low_y]
        assert annotation["bbox"] == pytest.approx(expected, abs=0.006)
        image = train.imgs[annotation["image_id"]]
        assert 0 <= low_x < high_x <= image["width"]
        assert 0 <= low_y < high_y <= image["height"]
        rounding = 0.01 * sum(polygon.length for polygon in polygons)
        area = sum(polygon.area for polygon in polygons)
        assert annotation["area"] == pytest.approx(area, abs=rounding)


def test_masks_are_the_visible_parts(train: COCO) -> None:
    touching = 0
    for number in train.imgs:
        masks = [train.annToMask(annotation) for annotation in train.imgToAnns[number]]
        for index, mask in enumerate(masks):
            for other in masks[:index]:
                # Only pixels on a common outline may be in both.
                eroded = cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=0)
                assert not (eroded & other).any()
                touching += (cv2.dilate(mask, np.ones((3, 3), np.uint8)) & other).any()
    assert touching > 10
