"""One config switch for videos in classes: `kinetics_data = dict(root=PATH)`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS

from tasks.data_checks import read_switch
from tasks.data_checks.config_datasets import leaf_datasets, plain_type

from .datasets.kinetics_layout import Split, find_split, read_classes

_KEYS = {"root", "train_list", "train_videos", "val_list", "val_videos", "allow_missing"}
_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}
_EVALUATORS = ("val_evaluator", "test_evaluator")


@FUNCTIONS.register_module(name="kinetics_data")
def kinetics_data(cfg: Config) -> None:
    """Point a config of video classification at a folder laid out as Kinetics is.

    Reads `cfg.kinetics_data`, a dict with `root` and, where the layout is another, `train_list`,
    `train_videos`, `val_list`, `val_videos` (relative to the root). The videos of a split are named
    in a list or in a CSV file of Kinetics, in the root or in `annotations`, else they lie in a
    sub-folder a class of `train` and `val` (see :func:`.datasets.kinetics_layout.find_split`). With
    an empty name of a list they do in any case. With `allow_missing=True` videos that a list names
    and that are not there are left out.

    Without a root nothing changes. Otherwise the data loaders get the files, those of hooks the
    training files, the head the number of classes, and accuracies among more classes than there are
    go.

    Args:
        cfg: Changed in place. Applying the rule again changes nothing.

    Raises:
        DatasetError: A file or folder is not found, or has not its form.
        ValueError: The config has an unknown or wrong key, or no head with `num_classes`.
    """
    given: dict[str, Any] = read_switch(cfg, "kinetics_data", _KEYS)
    if not given:
        return
    root = given["root"]
    allow_missing = given.get("allow_missing")
    if not isinstance(allow_missing, (bool, type(None))):
        raise ValueError(f"kinetics_data.allow_missing is {allow_missing!r}; give True or False")
    head = cfg.get("model", {}).get("head")
    if not isinstance(head, dict) or "num_classes" not in head:
        raise ValueError("kinetics_data found no model.head with num_classes")
    splits = {
        name: find_split(root, name, given.get(f"{name}_list"), given.get(f"{name}_videos"))
        for name in ("train", "val")
    }
    classes = read_classes(root, splits["train"])
    for loader, name in _loaders(cfg):
        for dataset in leaf_datasets(loader["dataset"]):
            dataset.update(_files(root, splits[name]), classes=classes)
            if allow_missing is not None:
                dataset["allow_missing"] = allow_missing
    head["num_classes"] = len(classes)
    for metric in _metrics(cfg):
        topk = metric.get("topk", (1, 5))
        metric["topk"] = tuple(k for k in topk if k < len(classes)) or (1,)


def _files(root: str, split: Split) -> dict[str, str]:
    return {"data_root": root, "data_prefix": split.videos, "ann_file": split.list_file}


def _loaders(cfg: Config) -> Iterator[tuple[dict, str]]:
    """The loaders of the config, and which split each reads."""
    for key, name in _LOADERS.items():
        if cfg.get(key) is not None:
            # A config may use one dict for several loaders.
            cfg[key] = copy.deepcopy(cfg[key])
            yield cfg[key], name
    for hook in cfg.get("custom_hooks") or []:
        loader = hook.get("dataloader") if isinstance(hook, Mapping) else None
        if isinstance(loader, dict) and loader.get("dataset") is not None:
            hook["dataloader"] = copy.deepcopy(loader)
            yield hook["dataloader"], "train"


def _metrics(cfg: Config) -> Iterator[dict]:
    for key in _EVALUATORS:
        evaluators = cfg.get(key) or []
        for metric in [evaluators] if isinstance(evaluators, dict) else evaluators:
            if isinstance(metric, dict) and plain_type(metric) == "VideoAccuracy":
                yield metric


kinetics_data.reads_data = True
