from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

import normlib.openmmlab  # noqa: F401  mmdet imports mmcv's operators, which this serves

CLASSES = ("cat", "dog")
WIDTH, HEIGHT = 40, 30


@pytest.fixture(autouse=True)
def mmdet_scope() -> object:
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def write_image(path: Path, width: int = WIDTH, height: int = HEIGHT, **options: object) -> None:
    pixels = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def sample_content() -> dict:
    """Two images; three annotations, the last one a crowd; category ids with a gap."""

    def annotation(number: int, image: int, category: int, bbox: list[float]) -> dict:
        x, y, w, h = bbox
        return {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": bbox,
            "area": w * h,
            "iscrowd": 0,
            "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
        }

    crowd = annotation(3, 2, 1, [0, 0, 20, 30])
    crowd["iscrowd"] = 1
    crowd["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [0, 20 * 30, 20 * 30]}
    return {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT}
            for number in (1, 2)
        ],
        "annotations": [
            annotation(1, 1, 1, [5, 5, 20, 10]),
            annotation(2, 1, 7, [10, 2, 12.5, 20]),
            crowd,
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}],
    }


class CocoFolder:
    """A data set on disk: `root/annotations/instances_train.json` and `root/train`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ann = root / "annotations" / "instances_train.json"
        self.img = root / "train"
        self.content = sample_content()
        for number in (1, 2):
            write_image(self.img / f"{number}.jpg")
        self.write()

    def write(self) -> None:
        self.ann.parent.mkdir(exist_ok=True)
        self.ann.write_text(json.dumps(self.content))

    def add_split(self, split: str, edit: Callable[[dict], None] = lambda content: None) -> None:
        content = copy.deepcopy(self.content)
        edit(content)
        (self.ann.parent / f"instances_{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            write_image(self.root / split / image["file_name"])

    def config(self, **changes: object) -> dict:
        return {
            "type": "CheckedCocoDataset",
            "data_root": str(self.root),
            "ann_file": "annotations/instances_train.json",
            "data_prefix": {"img": "train/"},
            "metainfo": {"classes": CLASSES},
            "pipeline": [{"type": "LoadImageFromFile"}],
        } | changes

    def build(self, **changes: object) -> object:
        """Write the content, then build the data set from its config."""
        from mmdet.registry import DATASETS

        import tasks.detection  # noqa: F401  registers the data set

        self.write()
        return DATASETS.build(self.config(**changes))


@pytest.fixture
def coco_folder(tmp_path: Path) -> CocoFolder:
    return CocoFolder(tmp_path / "set")
