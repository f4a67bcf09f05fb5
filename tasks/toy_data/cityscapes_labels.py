"""The label ids of Cityscapes that occur in generated streets, and their training ids."""

from __future__ import annotations

import numpy as np

IGNORED = 255
VOID = {"unlabeled": 0, "ego vehicle": 1, "out of roi": 3, "static": 4}
CLASSES = {  # in the order of the training ids, which count from 0
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
IDS = VOID | CLASSES

# By label id.
TRAIN_IDS = np.full(256, IGNORED, np.uint8)
TRAIN_IDS[list(CLASSES.values())] = range(len(CLASSES))
