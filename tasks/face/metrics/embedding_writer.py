"""Embeddings of a data set, written as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from tasks.data_checks import DatasetError
from tasks.face.evaluation.embedding_output import (
    EmbeddingOutputError,
    RowWriter,
    publish,
    scratch_folder,
)


@METRICS.register_module()
class EmbeddingWriter(BaseMetric):
    """Writes an embedding folder: whole at the end of the evaluation, or not at all.

    Every process writes the rows of its own images, so that the memory does not grow with their
    number. The data set's `metainfo["names"]` names the images. The metric is `images`, their
    number.

    Args:
        out_dir: The folder, see :class:`~tasks.face.evaluation.EmbeddingFolder`; on a file system
            that all processes share.
        about: For its `about.json`.
        force: Replace an embedding folder that stands there.
        **kwargs: Arguments of mmengine's `BaseMetric`.

    Raises:
        EmbeddingOutputError: Something stands at `out_dir`, or the disk refuses.
        DatasetError: An embedding is missing, double, or holds NaN or infinity; naming the image.
    """

    default_prefix = ""  # The name is whole; mmengine warns where this is None.

    def __init__(
        self,
        out_dir: str,
        about: Mapping[str, Any] | None = None,
        force: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.out_dir = Path(out_dir).expanduser()
        self.about = dict(about or {})
        self.force = force
        self._scratch = self._shared_scratch()
        self._rows: RowWriter | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Write the embeddings of a batch."""
        indices = torch.stack([sample["index"] for sample in data_samples]).cpu().numpy()
        embeddings = torch.stack([sample["embedding"] for sample in data_samples])
        if self._rows is None:
            self._rows = RowWriter(self._scratch, self._names)
        self._rows.write(indices, embeddings.float().cpu().numpy())
        self.results += indices.tolist()

    def evaluate(self, size: int) -> dict[str, float]:
        """Put the folder in its place, see mmengine's `BaseMetric`."""
        if size < 1:  # known to every process, so that none waits for another
            raise DatasetError("there is no image to embed")
        if self._rows is not None:
            self._rows.close()
        # Processes meet here before the main one goes on.
        return super().evaluate(size)

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """Check that every image was there once, and publish."""
        times = np.bincount(results, minlength=len(self._names))
        for index in np.flatnonzero(times != 1):
            raise DatasetError(
                f"there are {times[index]} embeddings of {self._names[index]} (image {index}), and "
                f"{int((times != 1).sum())} such images; every one has to be embedded once"
            )
        publish(self._scratch, self.out_dir, self._names, self.about, self.force)
        return {"images": len(results)}

    @property
    def _names(self) -> Sequence[str]:
        names = (self.dataset_meta or {}).get("names")
        if names is None:
            raise DatasetError(
                "EmbeddingWriter: the data set does not name its images (metainfo['names']); take "
                "a FaceListDataset"
            )
        return names

    def _shared_scratch(self) -> Path:
        """The folder that the main process has made, removed when it ends."""
        made: list[str | None] = [None, None]
        if is_main_process():
            try:
                self._folder = scratch_folder(self.out_dir, self.force)
                made[0] = self._folder.name
            except EmbeddingOutputError as error:
                made[1] = str(error)
        broadcast_object_list(made)
        if made[1] is not None:
            raise EmbeddingOutputError(made[1])
        return Path(str(made[0]))
