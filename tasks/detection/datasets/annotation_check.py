"""What can be wrong inside a well-formed COCO annotation file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tasks.data_checks import Problem, found, outside


def check_ids(content: dict) -> list[Problem]:
    """Ids that occur twice and references to ids that do not exist."""
    problems = []
    for key in ("images", "annotations", "categories"):
        ids = [entry["id"] for entry in content[key]]
        if len(set(ids)) < len(ids):
            problems += found(f"ids of {key} occur more than once", _repeated(ids))
    for key, target in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in content[target]}
        problems += found(
            f"annotations have a {key} that {target} does not list",
            (
                f"annotation {annotation['id']}: {key} {annotation[key]}"
                for annotation in content["annotations"]
                if annotation[key] not in known
            ),
        )
    return problems


def _repeated(values: Iterable) -> list:
    return [value for value, count in Counter(values).items() if count > 1]


def check_file_names(images: Sequence[dict]) -> list[Problem]:
    """Image entries whose `file_name` is no path below the folder of the images."""
    places = (f"number {number}, image {image['id']}" for number, image in enumerate(images))
    names = [image["file_name"] for image in images]
    return outside(names, places, "file names")


def check_classes(
    categories: Sequence[dict], classes: Sequence[str], allow_unused: bool
) -> list[Problem]:
    """Differences between the categories of the file and the classes of the config.

    mmdet numbers the labels in the order of the file, so the order counts as well.

    Args:
        categories: of the annotation file.
        classes: of the config, label 0 first.
        allow_unused: accept categories of the file that the config leaves out.
    """
    if isinstance(classes, str):
        right = f"metainfo=dict(classes=({classes!r},))"
        return [Problem(f"classes is the text {classes!r}, not a sequence: write {right}")]
    names = [category["name"] for category in categories]
    problems = found("category names occur more than once", map(repr, _repeated(names)))
    absent = [repr(name) for name in classes if name not in set(names)]
    problems += found(
        f"of {len(classes)} classes in the config are not among its categories "
        "(coco_data.root in the config takes the classes from the annotation file)",
        absent,
    )
    wanted = [name for name in names if name in set(classes)]
    if len(wanted) < len(names) and not allow_unused:
        problems += found(
            f"of its {len(names)} categories are not among the classes of the config "
            "(allow_unused_categories=True leaves them out on purpose)",
            (repr(name) for name in names if name not in set(classes)),
        )
    if not problems and wanted != list(classes):
        problems += found(
            "classes of the config are in another order than the categories of the file, which "
            f"decides the labels; the order has to be {tuple(wanted)}",
            (repr(name) for name, right in zip(classes, wanted, strict=False) if name != right),
        )
    return problems


def check_image_sizes(images: Sequence[dict]) -> list[Problem]:
    """Image entries whose width or height is not a positive number."""
    return found(
        f"of {len(images)} images have a width or height that is not a positive number",
        (
            f"image {image['id']} '{image['file_name']}': {image['width']} x {image['height']}"
            for image in images
            if not _are_numbers(sides := (image["width"], image["height"])) or min(sides) <= 0
        ),
    )


def _are_numbers(values: Sequence) -> bool:
    try:
        return math.isfinite(sum(values))
    except TypeError:
        return False


def _describe(annotation: dict, image: dict) -> str:
    return (
        f"annotation {annotation['id']}, image {image['id']} '{image['file_name']}' "
        f"of {image['width']} x {image['height']}"
    )


def check_boxes(
    annotations: Sequence[dict], images: dict[int, dict], tolerance: float
) -> list[Problem]:
    """Boxes of a wrong form or outside their image.

    A box that sticks out by rounding, `tolerance` pixels at most, is cut at the border in place.

    Args:
        annotations: their `bbox` is (x, y, width, height) in pixels.
        images: image entries by id.
        tolerance: in pixels.
    """
    malformed = [
        f"{_describe(annotation, images[annotation['image_id']])}: "
        f"bbox {annotation['bbox']}, area {annotation['area']}"
        for annotation in annotations
        if not _is_box(annotation["bbox"], annotation["area"])
    ]
    if malformed:
        text = "annotations lack a bbox of four finite numbers [x, y, width, height] or an area"
        return found(text, malformed)
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
    owners = [images[a["image_id"]] for a in annotations]
    frame = np.array([(image["width"], image["height"]) for image in owners]).reshape(-1, 2)
    low, extent = boxes[:, :2], boxes[:, 2:]
    high = low + extent
    negative = (extent < 0).any(axis=1)
    overhang = np.maximum(-low, high - frame).max(axis=1)
    apart = ((low >= frame) | (high <= 0)).any(axis=1) & (extent > 0).all(axis=1)
    outside = ((overhang > tolerance) | apart) & ~negative

    def describe(rows: np.ndarray) -> list[str]:
        return [
            f"{_describe(annotations[i], owners[i])}: bbox {annotations[i]['bbox']}"
            for i in np.flatnonzero(rows)
        ]

    for i in np.flatnonzero((overhang > 0) & ~outside & ~negative):
        start = low[i].clip(0, frame[i])
        annotations[i]["bbox"] = [*start.tolist(), *(high[i].clip(0, frame[i]) - start).tolist()]
    return [
        *found("boxes have a negative width or height", describe(negative)),
        *found(
            f"boxes [x, y, width, height] are outside their image or leave it by more than "
            f"{tolerance:g} px",
            describe(outside),
        ),
    ]


def _is_box(box: object, area: object) -> bool:
    return isinstance(box, list) and len(box) == 4 and _are_numbers([*box, area])


def check_crowd_flags(annotations: Sequence[dict]) -> list[Problem]:
    """Annotations without `iscrowd`, which COCO's evaluation needs."""
    return found(
        "annotations lack iscrowd (0 for one object, 1 for a group), which the evaluation needs",
        (f"annotation {a['id']}" for a in annotations if a.get("iscrowd") not in (0, 1)),
    )


def check_masks(annotations: Sequence[dict], images: dict[int, dict]) -> list[Problem]:
    """Segmentations that no mask can be made of.

    Parts of a polygon with fewer than three corners are dropped by mmdet, so only an annotation
    that has no other part is wrong.
    """
    offenders = []
    for annotation in annotations:
        image = images[annotation["image_id"]]
        wrong = _mask_problem(annotation.get("segmentation"), image["height"], image["width"])
        if wrong:
            offenders.append(f"{_describe(annotation, image)}: {wrong}")
    return found("annotations have no usable mask, which the pipeline asks for", offenders)


def _mask_problem(segmentation: object, height: int, width: int) -> str | None:
    if not segmentation:
        return "no segmentation"
    if isinstance(segmentation, list):
        return _polygon_problem(segmentation)
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, height, width)
    return f"segmentation is a {type(segmentation).__name__}, not polygons or run lengths"


def _polygon_problem(parts: list) -> str | None:
    if not all(isinstance(part, list) for part in parts):
        return "segmentation is not a list of polygons [[x1, y1, x2, y2, ...], ...]"
    if not all(map(_are_numbers, parts)):
        return "a polygon has a coordinate that is not a finite number"
    if any(len(part) % 2 for part in parts):
        return "a polygon has an odd number of coordinates"
    longest = max(map(len, parts))
    if longest < 6:
        return f"a polygon needs at least 6 coordinates, it has {longest}"
    return None


def _rle_problem(rle: dict, height: int, width: int) -> str | None:
    size, counts = rle.get("size"), rle.get("counts")
    if size is None or not isinstance(counts, (list, str)):
        return "run lengths need a size and counts"
    if list(size) != [height, width]:
        return f"run lengths of size {size}, [{height}, {width}] is right"
    if isinstance(counts, list) and sum(counts) != height * width:
        return f"run lengths cover {sum(counts)} pixels, {height * width} is right"
    return None


def unused_reasons(annotations: Sequence[dict]) -> dict[str, int]:
    """Why mmdet skips annotations silently, and how many for each reason."""
    reasons: Counter[str] = Counter()
    for annotation in annotations:
        if annotation.get("ignore"):
            reasons["marked 'ignore'"] += 1
        elif annotation["area"] <= 0:
            reasons["area is 0 or less"] += 1
        elif min(annotation["bbox"][2:]) < 1:
            reasons["box narrower than 1 px"] += 1
    return dict(reasons)
