"""How folders of segmentation data are laid out, and what is wrong where they are not."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tasks.data_checks import DatasetError

_LISTED = 8


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        text: What it looks like, for messages.
        switch: Key of the config that names the root, the folders and the suffixes; several are
            separated by " or ".
    """

    text: str
    switch: str


ADE20K = Layout(
    "images/{training,validation}/NAME.jpg and annotations/{training,validation}/NAME.png",
    "ade20k_data",
)
CITYSCAPES = Layout(
    "leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png and "
    "gtFine/{train,val}/CITY/NAME_gtFine_labelTrainIds.png",
    "cityscapes_data",
)
OWN = Layout(
    "a folder of images and one of labels of the same names, data_prefix.img_path and "
    "data_prefix.seg_map_path",
    "ade20k_data or cityscapes_data",
)


def list_folder(folder: str) -> str:
    """Some of the names in a folder, for messages; those of folders end with a slash."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "nothing"


def check_folder(kind: str, folder: str, root: str, layout: Layout) -> None:
    """Check that a folder exists.

    Args:
        kind: What it holds, such as "images".
        folder: Path.
        root: Folder of the data, in which `folder` is.
        layout: What is expected.

    Raises:
        DatasetError: It does not, with what is there instead and which key to set.
    """
    if os.path.isdir(folder):
        return
    text = f"the folder of the {kind}, {folder!r}, does not exist"
    keys = f"{layout.switch}.root to the folder that holds this layout: {layout.text}"
    if not os.path.isdir(root):
        raise DatasetError(f"{text}, as {root!r} is none (seen from {os.getcwd()}); set {keys}")
    inner = os.path.relpath(folder, root)
    with os.scandir(root) as entries:
        deeper = [e.path for e in entries if e.is_dir() and os.path.isdir(f"{e.path}/{inner}")]
    if deeper:
        raise DatasetError(f"{text}, but it does in {deeper[0]}: set {layout.switch}.root to that")
    raise DatasetError(
        f"{text}; {root} holds {list_folder(root)}. Set {keys}; or name the folders by train_img, "
        f"train_label, val_img and val_label of {layout.switch}"
    )
