"""Images of IJB-B and IJB-C, aligned by their landmarks as they are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS, TRANSFORMS
from torch.utils.data import Dataset

from tasks.data_checks import DatasetError
from tasks.face.evaluation.alignment import AlignmentError, align_face
from tasks.face.transforms.decoding import IMAGE_SIZE, decode_rgb

from .meta import find_target, read_faces


@TRANSFORMS.register_module()
class DecodeAlignedFace(BaseTransform):
    """Decode an image to RGB and cut the face out, aligned by its landmarks.

    Required keys: `content` and `where`, as for `DecodeFace`, and `landmarks`, float of shape
    (5, 2), see :func:`~tasks.face.evaluation.align_face`.

    Added keys: `img`, uint8 of shape (112, 112, 3).

    Raises:
        DatasetError: The image is damaged, or the landmarks are one point.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Decode the image of one sample."""
        image = decode_rgb(results["content"], results["where"])
        try:
            results["img"] = align_face(image, results["landmarks"], IMAGE_SIZE[0])
        except AlignmentError as error:
            raise DatasetError(f"{results['where']}: {error}") from error
        return results


@DATASETS.register_module()
class FaceLandmarkDataset(Dataset):
    """The images that an IJB list of landmarks names, to embed; `metainfo["names"]` has the names.

    Args:
        data_root: Folder of the loosely cropped images.
        meta_dir: Folder of the lists, see `meta.py`.
        target: `'IJBB'` or `'IJBC'`; needed where the folder has lists of both.
        pipeline: Transforms, which get `content`, `where`, `landmarks` and `index`.

    Raises:
        DatasetError: The list or an image is missing, or not as it should be.
    """

    def __init__(
        self,
        data_root: str,
        meta_dir: str,
        target: str | None = None,
        pipeline: Sequence[dict[str, Any]] = (),
    ) -> None:
        folder = Path(meta_dir).expanduser()
        self._faces = read_faces(folder, find_target(folder, target))
        self._root = os.path.expanduser(data_root)
        if not os.path.isdir(self._root):
            raise DatasetError(f"{data_root} is not a folder; it has to hold the images")
        self.pipeline = Compose(list(pipeline))
        print_log(f"{meta_dir}: {len(self)} images in {data_root}", "current")

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the images, as the list has them."""
        return {"names": self._faces.names}

    def __len__(self) -> int:
        return len(self._faces.names)

    def __getitem__(self, index: int) -> Any:
        path = os.path.join(self._root, self._faces.names[index])
        try:
            content = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        landmarks = self._faces.landmarks[index]
        return self.pipeline(
            {"content": content, "where": path, "landmarks": landmarks, "index": index}
        )
