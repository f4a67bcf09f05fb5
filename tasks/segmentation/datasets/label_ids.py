"""The two numberings of Cityscapes: `labelIds` as published, `labelTrainIds` to train with."""

from __future__ import annotations

from collections.abc import Collection

TRAIN_IDS, IDS = "_labelTrainIds.png", "_labelIds.png"
TRAIN_IDS_ADVICE = "make those with createTrainIdLabelImgs of cityscapesscripts"
_CLASSES = 19
_LAST_ID = 33


def label_ids_hint(
    paths: Collection[str], wrong: Collection[int], num_classes: int, looked_into: int = 1
) -> str:
    """A hint for labels that are likely the published ones; empty where they are not.

    A single stray value is no sign of them: there are several, or most files have it.

    Args:
        paths: Label files with wrong values.
        wrong: These values, of all the files.
        num_classes: Number of classes that label files tell apart.
        looked_into: Number of files that were looked into.
    """
    several = len(set(wrong)) > 1 or 1 < len(paths) > looked_into / 2
    named = all(path.endswith((TRAIN_IDS, IDS)) for path in paths)
    if several and named and num_classes == _CLASSES and max(wrong) <= _LAST_ID:
        return f"; these look like gtFine_labelIds, not gtFine_labelTrainIds: {TRAIN_IDS_ADVICE}"
    return ""
