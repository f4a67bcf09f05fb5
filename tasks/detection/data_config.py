"""One config switch for COCO-format data: `coco_data = dict(root=PATH)`."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator

from mmengine.config import Config, ConfigDict
from mmengine.registry import FUNCTIONS

from tasks.data_checks import DatasetError, read_switch
from tasks.data_checks.config_datasets import leaf_datasets, plain_type
from tasks.data_checks.palette import class_palette

from .datasets.annotation_file import read_class_names
from .datasets.coco_layout import Split, find_split

_KEYS = {"root", "train_ann", "train_img", "val_ann", "val_img"}
_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}
_COCO_TYPES = {"CocoDataset", "CheckedCocoDataset"}
_CLASS_HEADS = {"bbox_head", "mask_head", "mask_iou_head", "point_head"}


@FUNCTIONS.register_module(name="coco_data")
def coco_data(cfg: Config) -> None:
    """Point a detection config at a COCO-format folder.

    Reads `cfg.coco_data`, a dict with `root` and optionally `train_ann`, `train_img`, `val_ann`,
    `val_img` (relative to the root); what is not given is found by the layouts in
    `datasets/coco_layout.py`. Without a root nothing changes. Otherwise

    - the data sets of the three data loaders, also inside wrappers, become `CheckedCocoDataset`
      with these files; the test loader gets the validation files;
    - COCO evaluators get the validation annotations;
    - the classes, in the order of the training annotations, go into `metainfo` of the data sets
      and their number into every head that tells them apart.

    Args:
        cfg: changed in place. Applying the rule again changes nothing.

    Raises:
        DatasetError: a file is not found, more than one fits, or the annotation files have other
            categories than each other.
        ValueError: the config has an unknown key or a part that the rule cannot change.
    """
    given = read_switch(cfg, "coco_data", _KEYS)
    if not given:
        return
    root = given["root"]
    splits = {name: _find(root, name, given) for name in ("train", "val")}
    classes = _read_classes(root, splits)
    for loader, name in _LOADERS.items():
        if cfg.get(loader) is None:
            continue
        # A config may use one dict for several loaders.
        cfg[loader] = copy.deepcopy(cfg[loader])
        _point(_only_dataset(loader, cfg[loader]["dataset"]), root, splits[name], classes)
    for evaluator in ("val_evaluator", "test_evaluator"):
        for metric in _metrics(cfg.get(evaluator)):
            if plain_type(metric) == "CocoMetric":
                metric["ann_file"] = os.path.join(root, splits["val"].ann)
    _set_num_classes(cfg.get("model", {}), len(classes))


def _find(root: str, name: str, given: dict[str, str]) -> Split:
    parts = {part: given[f"{name}_{part}"] for part in ("ann", "img") if f"{name}_{part}" in given}
    return find_split(root, name, parts)


def _read_classes(root: str, splits: dict[str, Split]) -> tuple[str, ...]:
    names = {
        name: read_class_names(os.path.join(root, split.ann)) for name, split in splits.items()
    }
    if names["train"] != names["val"]:
        files = {name: os.path.join(root, split.ann) for name, split in splits.items()}
        raise DatasetError(
            f"{files['train']} and {files['val']} have other categories or another order: "
            f"{_difference(names['train'], names['val'])}"
        )
    return names["train"]


def _difference(train: tuple[str, ...], val: tuple[str, ...]) -> str:
    only_train = [name for name in train if name not in val]
    only_val = [name for name in val if name not in train]
    if only_train or only_val:
        return f"only in the first {only_train}, only in the second {only_val}"
    return f"{list(train)} against {list(val)}"


def _only_dataset(loader: str, dataset: dict) -> dict:
    leaves = list(leaf_datasets(dataset))
    types = [plain_type(leaf) for leaf in leaves]
    if len(leaves) != 1 or types[0] not in _COCO_TYPES:
        raise ValueError(
            f"coco_data cannot change {loader}: it holds data sets of type {types}, "
            f"one of {sorted(_COCO_TYPES)} is needed"
        )
    return leaves[0]


def _point(dataset: dict, root: str, split: Split, classes: tuple[str, ...]) -> None:
    dataset["type"] = "CheckedCocoDataset"
    dataset["data_root"] = root
    dataset["ann_file"] = split.ann
    prefix, meta = dataset.get("data_prefix") or {}, dataset.get("metainfo") or {}
    dataset["data_prefix"] = ConfigDict(prefix, img=split.img)
    dataset["metainfo"] = ConfigDict(meta, classes=classes, palette=class_palette(len(classes)))


def _metrics(evaluator: object) -> list[dict]:
    if isinstance(evaluator, (list, tuple)):
        return [metric for entry in evaluator for metric in _metrics(entry)]
    if isinstance(evaluator, dict):
        return _metrics(evaluator["metrics"]) if "metrics" in evaluator else [evaluator]
    return []


def _heads(part: object) -> Iterator[tuple[str, dict]]:
    if isinstance(part, (list, tuple)):
        for entry in part:
            yield from _heads(entry)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in _CLASS_HEADS:
                stages = value if isinstance(value, (list, tuple)) else [value]
                yield from ((key, stage) for stage in stages if isinstance(stage, dict))
            else:
                yield from _heads(value)


def _replace(part: object, count: int) -> None:
    if isinstance(part, (list, tuple)):
        for entry in part:
            _replace(entry, count)
    elif isinstance(part, dict):
        if "num_classes" in part:
            part["num_classes"] = count
        for value in part.values():
            _replace(value, count)


def _set_num_classes(model: dict, count: int) -> None:
    heads = list(_heads(model))
    for key, head in heads:
        if key == "bbox_head":
            head["num_classes"] = count  # has a default in mmdet, of COCO's 80 classes
        _replace(head, count)
    if not any("num_classes" in head for _, head in heads):
        raise ValueError(
            f"coco_data found no head with num_classes in the model among {sorted(_CLASS_HEADS)}"
        )


coco_data.reads_data = True
