"""Faces without labels, to embed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from tasks.data_checks import DatasetError, found, outside, raise_if_any
from tasks.face.transforms.packing import in_one_piece
from tasks.image_classes import IMAGE_SUFFIXES, images_under, missing_files

from .encoded_images import EncodedImages
from .files import read_bytes
from .record_labels import image_positions
from .recordio import RecordFile
from .verification_bin import read_bin


@DATASETS.register_module()
class FaceListDataset(Dataset):
    """Images of faces: all of a folder, those of a list file, of a `.rec` or of a `.bin` file.

    Args:
        data_root: Folder of the images; other paths are relative to it.
        ann_file: List file of one path a line, relative to `data_root`. Without one, and without
            `rec` or `bin`, all images below `data_root` in the order of their names.
        rec: File of records, whose images are named by their keys.
        bin: Verification set, whose images are named by their numbers.
        pipeline: Transforms, which get `content`, `where` and `index`.

    Raises:
        DatasetError: A file or folder is missing, damaged, or names no image.
    """

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "",
        rec: str = "",
        bin: str = "",
        pipeline: Sequence[dict[str, Any]] = (),
    ) -> None:
        given = [name for name in (ann_file, rec, bin) if name]
        if len(given) > 1:
            raise DatasetError(f"FaceListDataset has {given}; give one of ann_file, rec and bin")
        self._root = data_root
        source = os.path.join(data_root, *given)
        self._source = source
        self._file = RecordFile(source) if rec else None
        self._encoded = EncodedImages(read_bin(source).images) if bin else None
        if self._file is not None:
            self._names = image_positions(self._file)
        elif self._encoded is not None:
            self._names = np.arange(len(self._encoded))
        else:
            names = _listed(source, data_root) if ann_file else _all(data_root)
            self._names = np.array([os.fsencode(name) for name in names])
        if not len(self._names):
            raise DatasetError(f"{source} names no image")
        self.pipeline = Compose(list(pipeline))
        print_log(f"{source}: {len(self):,} images", "current")

    @property
    def metainfo(self) -> dict[str, Any]:
        """Under "names" the path, key or number of each image, as str."""
        if self._file is not None:
            return {"names": [str(key) for key in self._file.keys[self._names].tolist()]}
        if self._encoded is not None:
            return {"names": [str(number) for number in self._names.tolist()]}
        return {"names": [os.fsdecode(name) for name in self._names.tolist()]}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Any:
        name = self._names[index]
        if self._file is not None:
            content = self._file.content(name)
            where = f"{self._source}: record {self._file.keys[name]}"
        elif self._encoded is not None:
            content, where = self._encoded[name], f"{self._source}: image {name}"
        else:
            where = os.path.join(self._root, os.fsdecode(name))
            content = read_bytes(where)
        return self.pipeline({"content": content, "where": where, "index": index})

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """The samples of a batch, as loaders ask for them."""
        return in_one_piece(map(self.__getitem__, indices), len(indices))


def _all(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        raise DatasetError(f"{folder!r} is not a folder (seen from {os.getcwd()})")
    names = images_under(folder)
    if not names:
        raise DatasetError(f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return names


def _listed(path: str, folder: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = {at: line.strip() for at, line in enumerate(file, 1) if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"list file {path} cannot be read: {error}") from error
    names = list(lines.values())
    raise_if_any(path, outside(names, (f"line {number}" for number in lines)))
    missing = missing_files(folder, names)
    text = f"of {len(names)} images that it names are missing in {folder}"
    raise_if_any(path, found(text, missing))
    return names
