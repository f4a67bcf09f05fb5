from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

import normlib.openmmlab  # noqa: F401  mmseg imports mmcv's operators, which this serves


@pytest.fixture(autouse=True)
def mmseg_scope() -> object:
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def write_image(path: Path, width: int, height: int, **options: object) -> None:
    pixels = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write_label(path: Path, values: np.ndarray | list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


class SegFolder:
    """A data set on disk with two samples: 40 x 30 and 24 x 36."""

    sizes = ((40, 30), (24, 36))

    def __init__(self, root: Path, kind: str, images: list[str], labels: list[str]) -> None:
        self.root = root
        self.kind = kind
        self.images = [root / name for name in images]
        self.labels = [root / name for name in labels]
        for number, (width, height) in enumerate(self.sizes):
            write_image(self.images[number], width, height)
            self.write_label(number, range(3))

    def write_label(self, number: int, values: object) -> None:
        """Write a label with these values in turn."""
        width, height = self.sizes[number]
        write_label(self.labels[number], np.resize(list(values), (height, width)))

    def config(self, **changes: object) -> dict:
        return {
            "type": self.kind,
            "data_root": str(self.root),
            "data_prefix": {
                "img_path": self._prefix(self.images),
                "seg_map_path": self._prefix(self.labels),
            },
            "pipeline": [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
            "serialize_data": False,  # which collects garbage, for half a second
        } | changes

    def build(self, **changes: object) -> object:
        from mmseg.registry import DATASETS

        import tasks.segmentation  # noqa: F401  registers the data sets

        return DATASETS.build(self.config(**changes))

    def _prefix(self, paths: list[Path]) -> str:
        return "/".join(paths[0].relative_to(self.root).parts[:2])


@pytest.fixture
def ade20k(tmp_path: Path) -> SegFolder:
    names = ["training/ADE_train_00000001", "training/ADE_train_00000002"]
    images, labels = [f"images/{n}.jpg" for n in names], [f"annotations/{n}.png" for n in names]
    return SegFolder(tmp_path / "ade", "CheckedADE20KDataset", images, labels)


@pytest.fixture
def cityscapes(tmp_path: Path) -> SegFolder:
    names = ["train/aachen/aachen_000000_000019", "train/bonn/bonn_000000_000019"]
    images = [f"leftImg8bit/{name}_leftImg8bit.png" for name in names]
    labels = [f"gtFine/{name}_gtFine_labelTrainIds.png" for name in names]
    return SegFolder(tmp_path / "cities", "CheckedCityscapesDataset", images, labels)
