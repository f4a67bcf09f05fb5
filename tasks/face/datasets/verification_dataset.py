"""Pairs of faces: do both show one person?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from tasks.data_checks import DatasetError
from tasks.data_checks.drawing import fitted, put_text
from tasks.data_checks.sample import Sample
from tasks.face.transforms.decoding import IMAGE_SIZE, decode_rgb, wrong_size
from tasks.face.transforms.packing import in_one_piece

from .encoded_images import EncodedImages, read_checked_bin
from .files import read_bytes
from .pair_list import read_pair_list


@DATASETS.register_module()
class VerificationDataset(Dataset):
    """The images of verification sets, each set after the other.

    A set is named after its file, without the suffix, or by its key in `pairs`.

    Args:
        data_root: Folder of the data.
        bins: Sets as `.bin` files, relative to `data_root`.
        pairs: Sets as lists of pairs of image files, by name; relative to `data_root`. See
            `read_pair_list` for their form.
        data_prefix: Folder that the images of the lists are in, relative to `data_root`.
        pipeline: Transforms, which get `content`, `where` and `index`.

    Attributes:
        metainfo: Under "sets", by name, dicts of "pairs", indices of the images of each pair in the
            data set, int64 of shape (pairs, 2), "same", whether they show one person, bool of
            shape (pairs,), and "file", the path of the set. Under "classes" the kinds of pairs that
            `examine` counts.
        label_unit: What `examine` counts, each pair at its first image.

    Raises:
        DatasetError: A file is missing, damaged or not of its form, or two sets have one name.
    """

    label_unit = "pairs"

    def __init__(
        self,
        data_root: str = "",
        bins: Sequence[str] = (),
        pairs: Mapping[str, str] | None = None,
        data_prefix: str = "",
        pipeline: Sequence[dict[str, Any]] = (),
    ) -> None:
        folder = os.path.join(data_root, data_prefix)
        self._sources: list[tuple[str, EncodedImages | np.ndarray]] = []
        self._starts = [0]
        sets: dict[str, dict[str, Any]] = {}
        files = [(os.path.splitext(os.path.basename(path))[0], path, True) for path in bins]
        files += [(name, path, False) for name, path in (pairs or {}).items()]
        if not files:
            raise DatasetError("VerificationDataset has neither bins nor pairs; name the sets")
        for name, file, is_bin in files:
            path = os.path.join(data_root, file)
            if name in sets:
                raise DatasetError(f"{path}: there is another set of the name {name!r}")
            start = self._starts[-1]
            if is_bin:
                images, same = read_checked_bin(path)
                indices = np.arange(len(images)).reshape(-1, 2)
                self._sources.append((path, EncodedImages(images)))
            else:
                images, indices, same = read_pair_list(path, folder)
                paths = [os.fsencode(os.path.join(folder, image)) for image in images]
                self._sources.append((path, np.array(paths)))
            self._starts.append(start + len(images))
            sets[name] = {"pairs": indices + start, "same": same, "file": str(path)}
            print_log(
                f"{path}: {len(images):,} images, {len(same):,} pairs, {int(same.sum()):,} of one "
                "person",
                "current",
            )
        kinds = [f"{name}: {kind}" for name in sets for kind in ("two persons", "one person")]
        self.metainfo = {"sets": sets, "classes": tuple(kinds)}
        self.pipeline = Compose(list(pipeline))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Any:
        content, where = self._image(index)
        return self.pipeline({"content": content, "where": where, "index": index})

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """The samples of a batch, as loaders ask for them."""
        return in_one_piece(map(self.__getitem__, indices), len(indices))

    def examine(self, index: int) -> Sample:
        """Decode an image whole; the pairs in which it is the first are counted."""
        kinds = dict(zip(*np.unique(self._pairs_of(index)[1], return_counts=True), strict=True))
        labels = {int(kind): int(count) for kind, count in kinds.items()}
        where = self._where(index)
        try:
            image = decode_rgb(self._image(index)[0], where)
        except DatasetError as error:
            return Sample(where, labels=labels, problems=(str(error),))
        size = image.shape[1::-1]
        problems = () if size == IMAGE_SIZE else (wrong_size(where, size),)
        return Sample(where, size, labels, problems)

    def picture(self, index: int) -> np.ndarray:
        """A pair with the image, side by side, and whether it shows one person.

        Raises:
            DatasetError: An image cannot be read.
        """
        pairs, kinds = self._pairs_of(index, either=True)
        pair = pairs[0] if len(pairs) else (index, index)
        images = [decode_rgb(*self._image(int(member))) for member in pair]
        side = [cv2.resize(image, IMAGE_SIZE) for image in images]
        picture = fitted(cv2.cvtColor(np.hstack(side), cv2.COLOR_RGB2BGR))
        text = self.metainfo["classes"][kinds[0]] if len(pairs) else "in no pair"
        put_text(picture, text, (0, 0))
        return picture

    def _pairs_of(self, index: int, either: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Pairs with an image as their first one, or as either one, and their kinds."""
        number = self._source_of(index)
        found = list(self.metainfo["sets"].values())[number]
        at = (found["pairs"][:, : 1 + either] == index).any(axis=1)
        return found["pairs"][at], 2 * number + found["same"][at].astype(int)

    def _source_of(self, index: int) -> int:
        return int(np.searchsorted(self._starts, index, side="right")) - 1

    def _image(self, index: int) -> tuple[np.ndarray, str]:
        where = self._where(index)
        number = self._source_of(index)
        images = self._sources[number][1]
        if isinstance(images, EncodedImages):
            return images[index - self._starts[number]], where
        return read_bytes(where), where

    def _where(self, index: int) -> str:
        number = self._source_of(index)
        path, images = self._sources[number]
        if isinstance(images, EncodedImages):
            return f"{path}: image {index - self._starts[number]}"
        return os.fsdecode(images[index - self._starts[number]])
