"""Short runs of every toy config: 8 iterations on generated data, a checkpoint after every 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.toy_data import ade20k, cityscapes, coco, faces, imagenet, kinetics

CONFIGS = Path(__file__).parents[1] / "configs"
ITERATIONS = 8


@dataclass(frozen=True)
class ToyTask:
    """A toy config, a little data for it, and what makes a short run of it.

    Attributes:
        config: Path of the config.
        data: Key of the config that says where the data are.
        generate: Writes the data into an empty folder.
        options: Config keys and values.
    """

    config: Path
    data: str
    generate: Callable[[Path], Any]
    options: dict[str, Any]

    def run_options(self, root: Path) -> dict[str, Any]:
        """Config keys and values for a run on data in a folder."""
        return {f"{self.data}.root": str(root), **self.options}


# Two epochs of four batches, and as many iterations without epochs.
_EPOCHS = {
    "train_cfg.max_epochs": 2,
    "train_cfg.val_interval": 2,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.checkpoint.max_keep_ckpts": 3,
}
_ITERATIONS = {
    "train_cfg.max_iters": ITERATIONS,
    "train_cfg.val_interval": ITERATIONS,
    "default_hooks.checkpoint.interval": 4,
    "default_hooks.checkpoint.max_keep_ckpts": 3,
    "default_hooks.checkpoint.save_best": None,
}


def _batch(size: int) -> dict[str, Any]:
    return {"train_dataloader.batch_size": size}


TOYS = {
    "classification": ToyTask(
        CONFIGS / "classification/toy/resnet18_toy.py",
        "imagenet_data",
        lambda root: imagenet.generate(root, imagenet.ImageNetToy(train=2, val=1, size=32)),
        _EPOCHS | _batch(4),
    ),
    "faster-rcnn": ToyTask(
        CONFIGS / "detection/toy/faster-rcnn_r18_fpn_toy.py",
        "coco_data",
        lambda root: coco.generate(root, coco.CocoToy(train=6, val=2)),
        _ITERATIONS,
    ),
    "mask-rcnn": ToyTask(
        CONFIGS / "detection/toy/mask-rcnn_r18_fpn_toy.py",
        "coco_data",
        lambda root: coco.generate(root, coco.CocoToy(train=6, val=2)),
        _ITERATIONS,
    ),
    "deeplab": ToyTask(
        CONFIGS / "segmentation/toy/deeplab_r18_toy-ade20k.py",
        "ade20k_data",
        lambda root: ade20k.generate(root, ade20k.ADE20KToy(train=6, val=2)),
        _ITERATIONS,
    ),
    "pspnet": ToyTask(
        CONFIGS / "segmentation/toy/pspnet_r18_toy-cityscapes.py",
        "cityscapes_data",
        lambda root: cityscapes.generate(root, cityscapes.CityscapesToy(train=6, val=2)),
        _ITERATIONS,
    ),
    "face": ToyTask(
        CONFIGS / "face/toy/arcface_ir18_toy.py",
        "face_data",
        lambda root: faces.generate(root, faces.FacesToy(train=4, images=8, val=5, pairs=20)),
        _EPOCHS | _batch(8),
    ),
    "video": ToyTask(
        CONFIGS / "video/toy/i3d_r18_toy.py",
        "kinetics_data",
        lambda root: kinetics.generate(root, kinetics.KineticsToy(train=1, val=1)),
        _EPOCHS | _batch(2),
    ),
}
