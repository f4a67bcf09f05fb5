"""A COCO-format instance set of generated pictures.

The layout is that of COCO: `annotations/instances_{train,val}.json`, `train/`, `val/`. Masks are
polygons of the visible part; every sixth picture has a crowd region (run-length encoded) and
every twelfth no object at all. Category ids have a gap, as those of COCO do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .parameters import ToyParameters
from .scene import SceneObject, compose, coverage, paint, polygons
from .shapes import SHAPES

_CATEGORY_IDS = dict(zip(SHAPES, (1, 2, 3, 5), strict=True))
_OBJECTS = (2, 6)
_JPEG_QUALITY = 95
_CROWD_EVERY, _CROWD_AT = 6, 2
_EMPTY_EVERY, _EMPTY_AT = 12, 5


@dataclass(frozen=True)
class CocoToy(ToyParameters):
    """A set like COCO's: `size` is the longer side."""

    train: int = 200
    val: int = 40
    size: int = 128


def _run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed encoding: runs of 0 and 1 in turn, down the columns, 0 first."""
    flat = np.concatenate([[0], mask.ravel(order="F")])
    starts = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], starts, [mask.size]])).tolist()


def _crowd_mask(item: SceneObject, width: int, height: int) -> tuple[dict, list[float], float]:
    mask = (coverage(item.visible, width, height) >= 0.5).astype(np.uint8)
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    bbox = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
    return {"size": [height, width], "counts": _run_lengths(mask)}, bbox, int(mask.sum())


def _polygon_mask(item: SceneObject) -> tuple[list, list[float], float]:
    parts = polygons(item.visible)
    rings = [np.round(np.asarray(part.exterior.coords)[:-1], 2) for part in parts]
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    bbox = [round(float(value), 2) for value in (*low, *(high - low))]
    area = round(sum(part.area for part in parts), 2)
    return [ring.ravel().tolist() for ring in rings], bbox, area


def _annotation(item: SceneObject, width: int, height: int) -> dict:
    mask = _crowd_mask(item, width, height) if item.crowd else _polygon_mask(item)
    segmentation, bbox, area = mask
    return {
        "category_id": _CATEGORY_IDS[item.shape],
        "bbox": bbox,
        "area": area,
        "segmentation": segmentation,
        "iscrowd": int(item.crowd),
    }


def _picture(rng: np.random.Generator, index: int, size: int) -> tuple[np.ndarray, list[dict]]:
    short = size * 3 // 4
    width, height = ((size, size), (size, short), (short, size))[rng.integers(3)]
    empty = index % _EMPTY_EVERY == _EMPTY_AT
    crowd = index % _CROWD_EVERY == _CROWD_AT
    objects = 0 if empty else int(rng.integers(*_OBJECTS, endpoint=True))
    scene = compose(rng, width, height, objects, crowd)
    pixels = paint(rng, width, height, scene)
    return pixels, [_annotation(item, width, height) for item in scene]


def generate(
    folder: Path, parameters: CocoToy, progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Write the set into an empty folder.

    Args:
        folder: exists and is empty.
        parameters: the same ones give the same bytes.
        progress: called with (pictures written, pictures in all).

    Raises:
        OSError: a file cannot be written.
    """
    total, done = parameters.train + parameters.val, 0
    (folder / "annotations").mkdir()
    for number, (split, count) in enumerate((("train", parameters.train), ("val", parameters.val))):
        (folder / split).mkdir()
        images: list[dict] = []
        annotations: list[dict] = []
        for index in range(count):
            rng = np.random.default_rng([parameters.seed, number, index])
            pixels, found = _picture(rng, index, parameters.size)
            height, width = pixels.shape[:2]
            image_id, name = index + 1, f"{index + 1:06d}.jpg"
            images.append({"id": image_id, "file_name": name, "width": width, "height": height})
            for annotation in found:
                identity = {"id": len(annotations) + 1, "image_id": image_id}
                annotations.append(identity | annotation)
            _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            (folder / split / name).write_bytes(encoded.tobytes())
            done += 1
            progress(done, total)
        content = {
            "info": {"description": f"generated shapes, {split}, seed {parameters.seed}"},
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": [
                {"id": number, "name": shape, "supercategory": "shape"}
                for shape, number in _CATEGORY_IDS.items()
            ],
        }
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
