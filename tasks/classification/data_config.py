"""One config switch for images in classes: `imagenet_data = dict(root=PATH)`."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass

import numpy as np
from mmengine.config import Config
from mmengine.registry import FUNCTIONS

from tasks.data_checks import DatasetError, read_switch
from tasks.image_classes import class_folder_names, read_list_file

_KEYS = {"root", "train_list", "train_img", "val_list", "val_img"}
_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}
_LISTS = ("{split}.txt", "meta/{split}.txt")


@dataclass(frozen=True)
class _Split:
    """Where the images of a split are, relative to the root; without a list, in class folders."""

    images: str
    list_file: str = ""


@FUNCTIONS.register_module(name="imagenet_data")
def imagenet_data(cfg: Config) -> None:
    """Point a classification config at a folder laid out as ImageNet is.

    Reads `cfg.imagenet_data`, a dict with `root` and, where the layout is another, `train_list`,
    `train_img`, `val_list`, `val_img` (relative to the root). The images of a split lie in
    `train/CLASS/` and `val/CLASS/`, or are listed in `train.txt` and `val.txt` (or `meta/...`) by
    lines `PATH LABEL`. Without a root nothing changes. Otherwise the data loaders get the files,
    those of hooks the training files, the head the number of classes, and accuracies among more
    classes than there are go.

    Args:
        cfg: changed in place. Applying the rule again changes nothing.

    Raises:
        DatasetError: a file or folder is not found, or has not its form.
        ValueError: the config has an unknown key, or no head with `num_classes`.
    """
    given = read_switch(cfg, "imagenet_data", _KEYS)
    if not given:
        return
    root = given["root"]
    splits = {name: _find(root, name, given) for name in ("train", "val")}
    count, names = _classes(root, splits["train"])
    for loader, name in _LOADERS.items():
        if cfg.get(loader) is not None:
            # A config may use one dict for several loaders.
            cfg[loader] = copy.deepcopy(cfg[loader])
            _point(cfg[loader]["dataset"], root, splits[name], names)
    for hook in cfg.get("custom_hooks") or []:
        dataset = (hook.get("dataloader") or {}).get("dataset")
        if dataset is not None:
            _point(dataset, root, splits["train"], names)
    head = cfg.get("model", {}).get("head")
    if not isinstance(head, dict) or "num_classes" not in head:
        raise ValueError("imagenet_data found no model.head with num_classes")
    head["num_classes"] = count
    for key in ("val_evaluator", "test_evaluator"):
        metric = cfg.get(key)
        if isinstance(metric, dict) and metric.get("type") == "TopKAccuracy":
            metric["topk"] = tuple(k for k in metric.get("topk", (1, 5)) if k < max(count, 2))


def _point(dataset: dict, root: str, split: _Split, names: tuple[str, ...]) -> None:
    dataset["data_root"] = root
    dataset["data_prefix"] = split.images
    dataset["ann_file"] = split.list_file
    dataset["classes"] = names


def _find(root: str, split: str, given: dict[str, str]) -> _Split:
    images = given.get(f"{split}_img", split)
    listed = given.get(f"{split}_list")
    if listed is not None:
        return _Split(images if os.path.isdir(os.path.join(root, images)) else "", listed)
    folder = os.path.join(root, images)
    if os.path.isdir(folder) and class_folder_names(folder):
        return _Split(images)
    for pattern in _LISTS:
        name = pattern.format(split=split)
        if os.path.isfile(os.path.join(root, name)):
            return _Split(images if os.path.isdir(folder) else "", name)
    lists = " or ".join(pattern.format(split=split) for pattern in _LISTS)
    raise DatasetError(
        f"imagenet_data.root={root!r} has neither {images}/CLASS/ folders nor a list {lists} of "
        f"lines 'PATH LABEL'; it holds {sorted(os.listdir(root))[:8]}. Name what it has by "
        f"imagenet_data.{split}_img or imagenet_data.{split}_list"
    )


def _classes(root: str, split: _Split) -> tuple[int, tuple[str, ...]]:
    folder = os.path.join(root, split.images)
    if not split.list_file:
        names = class_folder_names(folder)
        return len(names), names
    listed = read_list_file(os.path.join(root, split.list_file), folder)
    count = listed.num_classes
    absent = np.setdiff1d(np.arange(count), listed.labels)
    if len(absent):
        raise DatasetError(
            f"{os.path.join(root, split.list_file)} has the labels 0 to {count - 1}, but no image "
            f"of {len(absent)} of these classes: {absent[:5].tolist()}"
            f"{' and more' * (len(absent) > 5)}; labels count the classes from 0, without gaps"
        )
    return count, listed.classes or tuple(map(str, range(count)))


imagenet_data.reads_data = True
