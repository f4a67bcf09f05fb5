"""Config switches for segmentation data: `ade20k_data` and `cityscapes_data = dict(root=PATH)`."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict
from mmengine.registry import FUNCTIONS

from tasks.data_checks import read_switch
from tasks.data_checks.config_datasets import leaf_datasets, plain_type
from tasks.data_checks.palette import class_palette

from .datasets.class_list import read_class_list

_SUFFIXES = ("img_suffix", "seg_map_suffix")
_KEYS = {"root", "train_img", "train_label", "val_img", "val_label", "classes", *_SUFFIXES}
_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}
_HEADS = ("decode_head", "auxiliary_head")
_CLASSES = "classes.txt"
_OWN_TYPE = "CheckedSegDataset"


@dataclass(frozen=True)
class _Benchmark:
    """A data set whose place others can take.

    Attributes:
        switch: Key of the config.
        dataset: Type of its data sets, without the checks.
        num_classes: Number of its classes.
        folders: By the keys of the switch.
        files: What a data set of other classes in this layout needs to be told.
    """

    switch: str
    dataset: str
    num_classes: int
    folders: dict[str, str]
    files: dict[str, str | bool]

    @property
    def checked(self) -> str:
        return f"Checked{self.dataset}"


_ADE20K = _Benchmark(
    "ade20k_data",
    "ADE20KDataset",
    150,
    {
        "train_img": "images/training",
        "train_label": "annotations/training",
        "val_img": "images/validation",
        "val_label": "annotations/validation",
    },
    {"img_suffix": ".jpg", "seg_map_suffix": ".png", "reduce_zero_label": True},
)
_CITYSCAPES = _Benchmark(
    "cityscapes_data",
    "CityscapesDataset",
    19,
    {
        "train_img": "leftImg8bit/train",
        "train_label": "gtFine/train",
        "val_img": "leftImg8bit/val",
        "val_label": "gtFine/val",
    },
    {
        "img_suffix": "_leftImg8bit.png",
        "seg_map_suffix": "_gtFine_labelTrainIds.png",
        "reduce_zero_label": False,
    },
)


@FUNCTIONS.register_module(name="ade20k_data")
def ade20k_data(cfg: Config) -> None:
    """Point a segmentation config at a folder laid out as ADE20K (ADEChallengeData2016) is.

    Reads `cfg.ade20k_data`, a dict with `root` and, where the layout is another, `train_img`,
    `train_label`, `val_img`, `val_label` (folders relative to the root), `img_suffix` and
    `seg_map_suffix` (how the names of images and labels end). Without a root nothing changes.
    Otherwise the data sets of the three data loaders and of those in hooks, also inside wrappers,
    become `CheckedADE20KDataset` with these folders and suffixes, the test loader with the
    validation files, and the heads get the number of classes.

    Data with classes of their own have a text file with a name a line: `classes` names it
    (relative to the root), or it is `classes.txt` in the root. The data sets then become
    `CheckedSegDataset`. In the label files 0 is ignored and the classes count from 1.

    Args:
        cfg: Changed in place. Applying the rule again changes nothing.

    Raises:
        DatasetError: The root or the list of classes cannot be read.
        ValueError: The config has an unknown key, an empty suffix, or a part that the rule cannot
            change.
    """
    _switch(cfg, _ADE20K)


@FUNCTIONS.register_module(name="cityscapes_data")
def cityscapes_data(cfg: Config) -> None:
    """Point a segmentation config at a folder laid out as Cityscapes is.

    As :func:`ade20k_data`, for `cfg.cityscapes_data` and `CheckedCityscapesDataset`. In the label
    files the classes count from 0, and 255 is ignored.
    """
    _switch(cfg, _CITYSCAPES)


def _switch(cfg: Config, benchmark: _Benchmark) -> None:
    given = read_switch(cfg, benchmark.switch, _KEYS)
    if not given:
        return
    root = given["root"]
    suffixes = {key: given[key] for key in _SUFFIXES if key in given}
    if empty := [key for key, suffix in suffixes.items() if not suffix]:
        raise ValueError(f"{benchmark.switch}.{empty[0]} is empty; it is an ending such as '.png'")
    folders = benchmark.folders | {key: given[key] for key in benchmark.folders if key in given}
    classes = _read_classes(root, given.get("classes"))
    for loader, split in _LOADERS.items():
        if cfg.get(loader) is not None:
            # A config may use one dict for several loaders.
            cfg[loader] = copy.deepcopy(cfg[loader])
            dataset = _only_dataset(loader, cfg[loader]["dataset"], benchmark, classes is not None)
            _point(dataset, root, split, folders, suffixes, benchmark, classes)
    for hook in cfg.get("custom_hooks") or []:
        if (hook.get("dataloader") or {}).get("dataset") is not None:
            hook["dataloader"] = copy.deepcopy(hook["dataloader"])
            where, inner = f"the hook {plain_type(hook)}", hook["dataloader"]["dataset"]
            dataset = _only_dataset(where, inner, benchmark, classes is not None)
            _point(dataset, root, "train", folders, suffixes, benchmark, classes)
    heads = list(_heads(cfg.get("model", {})))
    if not heads:
        raise ValueError(f"{benchmark.switch} found no model.decode_head to set num_classes of")
    for head in heads:
        head["num_classes"] = benchmark.num_classes if classes is None else len(classes)


def _read_classes(root: str, given: str | None) -> tuple[str, ...] | None:
    if given is None and not os.path.isfile(os.path.join(root, _CLASSES)):
        return None
    return read_class_list(os.path.join(root, given or _CLASSES))


def _only_dataset(where: str, dataset: dict, benchmark: _Benchmark, own_classes: bool) -> dict:
    leaves = list(leaf_datasets(dataset))
    types = [plain_type(leaf) for leaf in leaves]
    known = [benchmark.dataset, benchmark.checked]
    if len(leaves) == 1 and types[0] in [*known, _OWN_TYPE] and (own_classes or types[0] in known):
        return leaves[0]
    text = f"{benchmark.switch} cannot change {where}: it holds data sets of type {types}, "
    if types == [_OWN_TYPE]:
        raise ValueError(f"{text}whose classes {benchmark.switch}.classes has to name")
    raise ValueError(f"{text}one of {known} is needed")


def _point(
    dataset: dict,
    root: str,
    split: str,
    folders: dict[str, str],
    suffixes: dict[str, str],
    benchmark: _Benchmark,
    classes: tuple[str, ...] | None,
) -> None:
    dataset["type"] = benchmark.checked if classes is None else _OWN_TYPE
    dataset["data_root"] = root
    dataset["data_prefix"] = ConfigDict(
        img_path=folders[f"{split}_img"], seg_map_path=folders[f"{split}_label"]
    )
    dataset.update(suffixes)
    if classes is None:
        return
    for key, value in benchmark.files.items():
        dataset.setdefault(key, value)
    meta = dataset.get("metainfo") or {}
    palette = class_palette(len(classes))
    dataset["metainfo"] = ConfigDict(meta, classes=classes, palette=palette)


def _heads(model: dict) -> Iterator[dict]:
    for key in _HEADS:
        part = model.get(key)
        for head in part if isinstance(part, (list, tuple)) else [part]:
            if isinstance(head, dict):
                yield head


ade20k_data.reads_data = True
cityscapes_data.reads_data = True
