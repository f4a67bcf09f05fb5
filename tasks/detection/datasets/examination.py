"""What a look at one image and its annotated objects tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from tasks.data_checks import DatasetError
from tasks.data_checks.drawing import BLACK, WHITE, Colour, fitted, put_text
from tasks.data_checks.sample import Sample

Load = Callable[[str], np.ndarray]

_MASK_OPACITY = 0.4


def examine_image(info: dict, load: Load) -> Sample:
    """Decode an image whole, compare its size with the annotated one, and count its objects.

    Args:
        info: as mmdet's `CocoDataset` gives it; regions marked as crowds are no objects.
        load: gives the image of a file, of shape (height, width, 3); raises DatasetError.
    """
    path = info["img_path"]
    labels = Counter(
        instance["bbox_label"] for instance in info["instances"] if not instance["ignore_flag"]
    )
    try:
        height, width = load(path).shape[:2]
    except DatasetError as error:
        return Sample(path, labels=labels, problems=(str(error),))
    problems = []
    if (width, height) != (info["width"], info["height"]):
        problems.append(
            f"{path} is {width} x {height}, annotated as {info['width']} x {info['height']}"
        )
    return Sample(path, (width, height), labels, tuple(problems))


def draw_image(
    info: dict, classes: Sequence[str], palette: Sequence[Sequence[int]], load: Load
) -> np.ndarray:
    """An image with boxes, class names and, where there are any, masks.

    Args:
        info: as mmdet's `CocoDataset` gives it.
        classes: names, by label.
        palette: red, green, blue, by label; short ones start again.
        load: gives the image of a file, uint8 of shape (height, width, 3); raises DatasetError.

    Raises:
        DatasetError: the image cannot be read.
    """
    picture = fitted(load(info["img_path"]))
    height, width = picture.shape[:2]
    frame = info["width"], info["height"]
    # Boxes are annotated in pixels of the annotated size, whatever the size of the file is.
    scale = np.tile((width / frame[0], height / frame[1]), 2)
    # The largest first, so that it does not cover others.
    instances = sorted(info["instances"], key=lambda instance: -_area(instance["bbox"]))
    colours = [_colour(palette, instance["bbox_label"]) for instance in instances]
    for instance, colour in zip(instances, colours, strict=True):
        if instance.get("mask"):
            inside = _mask(instance["mask"], *frame)
            inside = cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST) > 0
            mixed = (1 - _MASK_OPACITY) * picture[inside] + _MASK_OPACITY * np.array(colour)
            picture[inside] = mixed.astype(np.uint8)
            outlines, _ = cv2.findContours(
                inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(picture, outlines, -1, WHITE, 1)
    boxes = [np.rint(scale * instance["bbox"]).astype(int).tolist() for instance in instances]
    for (left, top, right, bottom), colour in zip(boxes, colours, strict=True):
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, 2)
    for box, instance, colour in zip(boxes, instances, colours, strict=True):
        name = classes[instance["bbox_label"]] + " (crowd)" * bool(instance["ignore_flag"])
        put_text(picture, name, (box[0], box[1]), _readable_on(colour), colour, size=14)
    return picture


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _colour(palette: Sequence[Sequence[int]], label: int) -> Colour:
    red, green, blue = map(int, palette[label % len(palette)])
    return blue, green, red


def _readable_on(ground: Colour) -> Colour:
    blue, green, red = ground
    bright = 0.114 * blue + 0.587 * green + 0.299 * red
    return BLACK if bright > 128 else WHITE


def _mask(mask: list | dict, width: int, height: int) -> np.ndarray:
    """The pixels of polygons or of run lengths, uint8 of shape (height, width)."""
    if isinstance(mask, list):
        mask = coco_mask.merge(coco_mask.frPyObjects(mask, height, width))
    elif isinstance(mask["counts"], list):
        mask = coco_mask.frPyObjects(mask, height, width)
    return coco_mask.decode(mask)
