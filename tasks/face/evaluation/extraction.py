"""An evaluation turned into an extraction: embeddings of any images, written to a folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

_PIPELINE = [dict(type="DecodeFace"), dict(type="PackFace")]
# Switches that put data in the place of what the config names, the pictures' among them.
_DATA_SWITCH = "face_data"
_LOG_INTERVAL = 10  # batches


def extraction_options(
    cfg: Config,
    checkpoint: str,
    out: Path,
    dataset: Mapping[str, Any],
    batch_size: int = 128,
    workers: int = 2,
    force: bool = False,
) -> dict[str, Any]:
    """Options that make an evaluation write the embeddings of images.

    The training data, and their number of identities, are not needed.

    Args:
        cfg: The config of a face model, with the user's own options in it.
        checkpoint: Its weights, for the folder's `about.json`.
        out: The folder to write.
        dataset: Config of the images without a pipeline, which is that of the config's evaluation:
            a `FaceListDataset`, or a `FaceLandmarkDataset`, of which every image is aligned.
        batch_size: Images in a batch of each process.
        workers: Processes that load images, for each.
        force: Replace an embedding folder that stands there.

    Returns:
        Dotted keys and their values, to come after the user's.
    """
    loader = cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}
    given = loader.get("dataset") or {}
    pipeline = copy.deepcopy(given.get("pipeline") or _PIPELINE)
    if dataset["type"] == "FaceLandmarkDataset":
        for step in pipeline:
            if step.get("type") == "DecodeFace":
                step["type"] = "DecodeAlignedFace"
    about = {
        "config": cfg.filename,
        "checkpoint": checkpoint,
        "flip": bool(cfg.model.get("flip", True)),
        "images": {key: value for key, value in dataset.items() if key != "type"},
    }
    options: dict[str, Any] = {
        "test_dataloader": dict(
            batch_size=batch_size,
            num_workers=workers,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=loader.get("collate_fn", dict(type="face_collate")),
            dataset=dict(dataset, pipeline=pipeline),
        ),
        "test_cfg": dict(type="TestLoop"),
        "test_evaluator": dict(type="EmbeddingWriter", out_dir=str(out), about=about, force=force),
    }
    if _DATA_SWITCH in cfg:
        options[_DATA_SWITCH] = {}
    if cfg.get("default_hooks", {}).get("logger"):
        options["default_hooks.logger.interval"] = _LOG_INTERVAL
    for key, value in options.items():
        *parents, last = key.split(".")
        place: Any = cfg
        for parent in parents:
            place = place[parent]
        if isinstance(value, dict) and last in place:
            value["_delete_"] = True
    return options
