"""A segmentor of mmseg small enough to test within seconds, and images in ADE20K's convention."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from normlib.openmmlab.launch import build_runner, load_config

CONFIG = """
_base_ = ["mmseg::_base_/models/fcn_r50-d8.py", "mmseg::_base_/default_runtime.py"]
custom_imports = dict(imports=["normlib.openmmlab"], allow_failed_imports=False)
norm_cfg = dict(type="BN")
classes = ("wall", "floor", "sky")
head = dict(in_channels=256, channels=8, num_classes=3, num_convs=1, concat_input=False)
model = dict(
    pretrained=None,
    backbone=dict(depth=18, base_channels=32),
    decode_head=head,
    auxiliary_head=dict(in_channels=128, channels=8, num_classes=3),
)
load = dict(type="LoadImageFromFile")
pack = dict(type="PackSegInputs")
labels = dict(type="LoadAnnotations", reduce_zero_label=True)
data = dict(
    type="BaseSegDataset",
    data_root="{root}",
    data_prefix=dict(img_path="images", seg_map_path="labels"),
    reduce_zero_label=True,
    metainfo=dict(classes=classes, palette=[[200, 0, 0], [0, 200, 0], [0, 0, 200]]),
)
resize = dict(type="Resize", scale=(64, 64), keep_ratio=True)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(data, pipeline=[load, resize, labels, pack]),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_cfg = dict()
flips = [dict(type="RandomFlip", prob=p, direction="horizontal") for p in (0.0, 1.0)]
scales = [dict(type="Resize", scale_factor=s, keep_ratio=True) for s in (0.5, 1.0)]
tta_pipeline = [
    load, dict(type="TestTimeAug", transforms=[scales, flips, [labels], [pack]])
]
default_hooks = dict(
    visualization=dict(type="SegVisualizationHook"), metrics=dict(type="MetricsFileHook")
)
work_dir = "{work_dir}"
"""
SIZES = [(48, 64), (64, 40), (64, 64)]


def make_data(root: Path) -> None:
    """Three images, JPEG, and labels, PNG: 0 is ignored, the classes count from 1."""
    generator = np.random.default_rng(0)
    for index, (height, width) in enumerate(SIZES):
        labels = np.zeros((height, width), np.uint8)
        for row, value in enumerate((0, 3, 1, 2)):
            labels[row * height // 4 :] = value
        labels[:, : width // 4] = 1
        image = generator.integers(0, 60, (height, width, 3)) + 60 * labels[..., None] % 200
        for folder, suffix, picture in (("images", "jpg", image), ("labels", "png", labels)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / f"scene_{index}.{suffix}"), picture.astype(np.uint8))


def make_config(folder: Path, more: str = "") -> str:
    """A config of the data in ``folder/data``, which runs in ``folder/work``."""
    path = folder / "fcn.py"
    text = CONFIG.replace("{root}", str(folder / "data"))
    path.write_text(text.replace("{work_dir}", str(folder / "work")) + more)
    return str(path)


@torch.no_grad()
def make_weights(config: str, path: Path) -> str:
    """Initial weights, with the classifier's bias such that all classes are predicted."""
    options = {
        "work_dir": str(path.parent / "initial"),
        # mmengine gives one log to runs of one name that start in the same second.
        "experiment_name": "initial",
        "randomness": dict(seed=0),
    }
    cfg = load_config(config, options)
    root = Path(cfg.test_dataloader.dataset.data_root)
    for key in ("test_dataloader", "test_evaluator", "test_cfg"):
        cfg.pop(key)
    model = build_runner(cfg).model.eval()
    model.init_weights()
    image = torch.from_numpy(cv2.imread(str(root / "images" / "scene_2.jpg"))).permute(2, 0, 1)
    inputs = model.data_preprocessor(dict(inputs=[image]))["inputs"]
    scores = model.decode_head(model.extract_feat(inputs))
    model.decode_head.conv_seg.bias -= scores.mean((0, 2, 3))
    torch.save(model.state_dict(), path)
    return str(path)
