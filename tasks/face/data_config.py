"""One config switch for faces: `face_data = dict(root=PATH)`."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import FUNCTIONS

from tasks.data_checks import DatasetError, read_switch
from tasks.data_checks.config_datasets import leaf_datasets
from tasks.image_classes import IMAGE_SUFFIXES, class_folder_names, read_list_file

from .datasets.record_labels import read_image_records, read_property
from .datasets.recordio import RecordFile

_KEYS = {"root", "train_rec", "train_img", "train_list", "val_bins", "val_pairs", "num_classes"}
_REC, _LIST = "train.rec", "train.txt"
_FOLDERS = ("train", "imgs", "images", "")
_BINS = ("lfw.bin", "cfp_fp.bin", "agedb_30.bin")
_KEPT = ("pipeline", "max_undecodable")
_EVALUATIONS = ("val", "test")


@FUNCTIONS.register_module(name="face_data")
def face_data(cfg: Config) -> None:
    """Point a face config at a folder laid out as MS1MV2 (`faces_emore`), or at class folders.

    Reads `cfg.face_data`, a dict with `root`. The training images are in `train.rec`, else listed
    in `train.txt` by lines `PATH LABEL`, else in a sub-folder for each identity of `train`, `imgs`,
    `images` or of the root; `train_rec`, `train_list` and `train_img` name others. The verification
    sets are `lfw.bin`, `cfp_fp.bin` and `agedb_30.bin`, as far as they are there, else every
    `.bin` file; `val_bins` names others, with or without `.bin`, and `val_pairs` lists of pairs by
    name (see `VerificationDataset`). All paths are relative to the root.

    Without a root nothing changes. Otherwise the data loaders get these data, those of hooks the
    training data, and the head the number of identities: `num_classes` if given, else that of the
    data. The pipelines of the config stay. With `val_bins=[]` and no `val_pairs` nothing is
    evaluated. With `num_classes`, and without training data in the root, the data of the training
    stay as they are: enough to evaluate.

    Args:
        cfg: Changed in place. Applying the rule again changes nothing.

    Raises:
        DatasetError: A file or folder is not found, or has not its form.
        ValueError: The config has an unknown key, or no head with `num_classes`.
    """
    given = read_switch(cfg, "face_data", _KEYS)
    if not given:
        return
    root = given["root"]
    validation = _validation(root, given)
    count = given.get("num_classes")
    by_hand = count is not None
    training = _training(root, given, required=not by_hand)
    if not by_hand:
        count = _count(training)
    head = cfg.get("model", {}).get("head")
    if not isinstance(head, dict) or "num_classes" not in head:
        raise ValueError("face_data found no model.head with num_classes")
    head["num_classes"] = count
    if training:
        for loader in _training_loaders(cfg):
            # A number that the data say is left to them, so that messages name its source.
            _replace(loader, training | ({"num_classes": count} if by_hand else {}))
    for split in _EVALUATIONS:
        loader = cfg.get(f"{split}_dataloader")
        if validation is None:
            for part in ("dataloader", "cfg", "evaluator"):
                cfg[f"{split}_{part}"] = None
        elif loader is not None:
            # A config may use one dict for several loaders.
            cfg[f"{split}_dataloader"] = copy.deepcopy(loader)
            _replace(cfg[f"{split}_dataloader"], validation)
    if validation is None:
        (cfg.get("default_hooks") or {}).get("checkpoint", {}).pop("save_best", None)


def _training_loaders(cfg: Config) -> Iterator[dict]:
    if cfg.get("train_dataloader") is not None:
        cfg.train_dataloader = copy.deepcopy(cfg.train_dataloader)
        yield cfg.train_dataloader
    for hook in cfg.get("custom_hooks") or []:
        loader = hook.get("dataloader") if isinstance(hook, dict) else None
        if isinstance(loader, dict) and loader.get("dataset") is not None:
            hook["dataloader"] = copy.deepcopy(loader)
            yield hook["dataloader"]


def _replace(loader: dict, values: Mapping[str, Any]) -> None:
    """Give a loader other data; the pipeline of its data set stays."""
    for leaf in leaf_datasets(loader["dataset"]):
        names = _KEPT if "Verification" not in values["type"] else _KEPT[:1]
        kept = {key: leaf[key] for key in names if key in leaf}
        leaf.clear()
        leaf.update(ConfigDict(**values, **kept))


def _training(root: str, given: Mapping[str, Any], required: bool) -> dict[str, Any]:
    """The data set of the training, without its number of classes; empty where there is none."""
    if "train_rec" in given or not {"train_img", "train_list"} & set(given):
        path = os.path.join(root, given.get("train_rec", _REC))
        if os.path.isfile(path):
            return {"type": "FaceRecordDataset", "rec": path}
        if "train_rec" in given:
            raise DatasetError(f"face_data.train_rec: {path} is not a file")
    images = given.get("train_img")
    listed = given.get("train_list", _LIST)
    if "train_list" in given or os.path.isfile(os.path.join(root, listed)):
        return _images(root, images or "", listed)
    for folder in _FOLDERS if images is None else (images,):
        if _has_classes(os.path.join(root, folder), shallow=not folder):
            return _images(root, folder)
    if images is None and not required:
        return {}
    raise DatasetError(
        f"face_data.root={root!r} has neither {_REC}, nor {_LIST} with lines 'PATH LABEL', nor a "
        f"folder for each identity {'in ' + repr(images) if images else 'in train, imgs or images'}"
        f"; it holds {sorted(os.listdir(root))[:8]}. Name what it has by face_data.train_rec, "
        "train_list or train_img; to evaluate only, give face_data.num_classes"
    )


def _images(root: str, folder: str, listed: str = "") -> dict[str, Any]:
    return {
        "type": "FaceImageDataset",
        "data_root": root,
        "data_prefix": folder,
        "ann_file": listed,
    }


def _has_classes(folder: str, shallow: bool) -> bool:
    """Whether a folder holds class folders; where it may hold others, the first has images."""
    names = class_folder_names(folder) if os.path.isdir(folder) else ()
    if not names or not shallow:
        return bool(names)
    with os.scandir(os.path.join(folder, names[0])) as entries:
        return any(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in entries)


def _count(training: Mapping[str, Any]) -> int:
    if training["type"] == "FaceRecordDataset":
        count = read_property(training["rec"])
        if count is None:
            count = int(read_image_records(RecordFile(training["rec"])).labels.max()) + 1
        return count
    folder = os.path.join(training["data_root"], training["data_prefix"])
    if not training["ann_file"]:
        return len(class_folder_names(folder))
    path = os.path.join(training["data_root"], training["ann_file"])
    found = read_list_file(path, folder)
    absent = np.setdiff1d(np.arange(found.num_classes), found.labels)
    if len(absent):
        raise DatasetError(
            f"{path} has the labels 0 to {found.num_classes - 1}, but no image of {len(absent)} of "
            f"these identities: {absent[:5].tolist()}{' and more' * (len(absent) > 5)}; labels "
            "count from 0 without gaps, or give face_data.num_classes"
        )
    return found.num_classes


def _validation(root: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    pairs = dict(given.get("val_pairs") or {})
    bins = given.get("val_bins")
    if bins is None:
        bins = [name for name in _BINS if os.path.isfile(os.path.join(root, name))]
        bins = bins or sorted(name for name in os.listdir(root) if name.endswith(".bin"))
        if not bins and not pairs:
            raise DatasetError(
                f"face_data.root={root!r} has no verification set: no {', '.join(_BINS)} nor "
                f"another .bin file; it holds {sorted(os.listdir(root))[:8]}. Name sets by "
                "face_data.val_bins or val_pairs; face_data.val_bins=[] trains without evaluation"
            )
    else:
        bins = [bins] if isinstance(bins, str) else bins
        bins = [_bin(root, name) for name in bins if name]
    if not bins and not pairs:
        return None
    for name, path in pairs.items():
        if not os.path.isfile(os.path.join(root, path)):
            raise DatasetError(f"face_data.val_pairs: {name}: {root}/{path} is not a file")
    return {"type": "VerificationDataset", "data_root": root, "bins": list(bins), "pairs": pairs}


def _bin(root: str, name: str) -> str:
    for file in (name, f"{name}.bin"):
        if os.path.isfile(os.path.join(root, file)):
            return file
    raise DatasetError(
        f"face_data.val_bins: {root} has neither {name} nor {name}.bin; it holds "
        f"{sorted(file for file in os.listdir(root) if file.endswith('.bin'))[:8]}"
    )


face_data.reads_data = True
