"""Videos and their classes as a data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from tasks.data_checks import DatasetError
from tasks.data_checks.sample import Sample
from tasks.video.decoding import VideoError
from tasks.video.unreadable import UNREADABLE

from .examination import draw_video, examine_video
from .reading import read_videos
from .shared_indices import SharedIndices
from .stand_ins import stand_ins


@DATASETS.register_module()
class VideoClassDataset(Dataset):
    """Videos in class folders, or named in a list or in a CSV file of Kinetics.

    In a training, a video that cannot be read is told, and another one takes its place from then
    on; too many of them end the training. In a test it is an error, unless `allow_unreadable` lets
    another one stand in with the label -1, which metrics leave out and count.

    Args:
        data_root: Folder of the data.
        data_prefix: Folder of the videos, relative to `data_root`.
        ann_file: List file of lines `PATH LABEL` or `PATH TOTAL_FRAMES LABEL`, or CSV file of
            Kinetics, relative to `data_root`, with paths relative to the folder of videos; without
            one the videos, files or folders of frames, lie in a sub-folder a class.
        classes: Names that the classes must have, in this order.
        pipeline: Transforms, which get `video_path`, `label` and `index`.
        test_mode: Whether this is for a test.
        allow_missing: Leave out videos of `ann_file` that are not there.
        max_unreadable: Share of the videos that may be unreadable in a training, from 0 to 1. With
            a share above 0 one video always may. Each process counts for itself as it reads;
            `SkippedSamplesHook` counts those of all after each epoch.
        allow_unreadable: Whether videos may be unreadable in a test.

    Raises:
        DatasetError: A file or folder is missing, empty or not of its form, the classes are others,
            or `max_unreadable` is no share.
    """

    label_unit = "videos"

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str = "",
        ann_file: str = "",
        classes: Sequence[str] | None = None,
        pipeline: Sequence[dict[str, Any]] = (),
        test_mode: bool = False,
        allow_missing: bool = False,
        max_unreadable: float = 0.01,
        allow_unreadable: bool = False,
    ) -> None:
        if not 0 <= max_unreadable <= 1:
            raise DatasetError(f"max_unreadable is {max_unreadable}; it is a share from 0 to 1")
        folder = os.path.join(data_root, data_prefix)
        self._source = os.path.join(data_root, ann_file) if ann_file else folder
        names = None if classes is None else tuple(classes)
        self._videos = read_videos(folder, self._source, names, allow_missing)
        self.pipeline = Compose(list(pipeline))
        self.test_mode = test_mode
        self.max_unreadable = max_unreadable
        self.allow_unreadable = allow_unreadable
        self._unreadable = SharedIndices(len(self))
        self._incomplete = SharedIndices(len(self))
        print_log(self._summary(), "current")

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the classes, or their numbers where they have no names."""
        return {"classes": self._videos.classes}

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> Any:
        index = range(len(self))[index]
        return self._to_test(index) if self.test_mode else self._to_train(index)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The path of a video, and its class."""
        return {"video_path": self._videos.path(index), "label": int(self._videos.labels[index])}

    def skipped(self) -> list[str]:
        """The videos that could not be read and have been left out so far, in any worker."""
        return [self._videos.path(index) for index in self._unreadable]

    @property
    def most_skipped(self) -> int:
        """How many videos may be unreadable in a training."""
        return max(1, int(self.max_unreadable * len(self))) if self.max_unreadable else 0

    def incomplete(self) -> list[str]:
        """The videos used so far, in any worker, of which asked frames could not be decoded."""
        return [self._videos.path(index) for index in self._incomplete]

    def examine(self, index: int) -> Sample:
        """Decode a video whole."""
        path, label = self._videos.path(index), int(self._videos.labels[index])
        return examine_video(path, label, int(self._videos.frames[index]), **self._options())

    def picture(self, index: int) -> np.ndarray:
        """Four frames of a video with the name of its class.

        Raises:
            DatasetError: The video cannot be read.
        """
        name = self._videos.classes[self._videos.labels[index]]
        return draw_video(self._videos.path(index), name, **self._options())

    def _to_train(self, index: int) -> Any:
        for at in (index, *stand_ins(index, len(self))):
            if at in self._unreadable:
                continue
            try:
                return self._run(at, int(self._videos.labels[at]))
            except VideoError as error:
                self._leave_out(at, error)
        raise self._none_readable()

    def _to_test(self, index: int) -> Any:
        if index not in self._unreadable:
            try:
                return self._run(index, int(self._videos.labels[index]))
            except VideoError as error:
                if not self.allow_unreadable:
                    raise DatasetError(
                        f"{error}; test_dataloader.dataset.allow_unreadable=True leaves such "
                        "videos out of the evaluation"
                    ) from error
                self._tell_left_out(index, error)
        for at in range(len(self)):
            if at in self._unreadable:
                continue
            try:
                return self._run(at, UNREADABLE)
            except VideoError as error:
                self._tell_left_out(at, error)
        raise self._none_readable()

    def _run(self, index: int, label: int) -> Any:
        """A video through the pipeline; whatever happens, it is closed."""
        path = self._videos.path(index)
        results: Any = {"video_path": path, "label": label, "index": index}
        reader = None
        try:
            for step in self.pipeline:
                results = step(results)
                if isinstance(results, dict):
                    reader = results.get("video", reader)
        finally:
            if reader is not None:
                reader.close()
        lost = 0 if reader is None else reader.stood_in
        if lost and self._incomplete.add(index) and self.test_mode:
            print_log(
                f"{path}: {lost} of the frames asked for cannot be decoded; the nearest others "
                "stand in for them",
                "current",
                logging.WARNING,
            )
        return results

    def _leave_out(self, index: int, error: VideoError) -> None:
        new = self._unreadable.add(index)
        count, total = len(self._unreadable), len(self)
        allowed = self.most_skipped
        if count > allowed:
            raise DatasetError(
                f"{error}. With it {count:,} of {total:,} videos ({count / total:.2%}) cannot be "
                f"read, more than the {allowed:,} that max_unreadable={self.max_unreadable} allows"
            ) from error
        if new:
            text = f"{error}. Others take its place ({count:,} of at most {allowed:,})"
            print_log(text, "current", logging.WARNING)

    def _tell_left_out(self, index: int, error: VideoError) -> None:
        if self._unreadable.add(index):
            print_log(f"{error}. The evaluation leaves it out", "current", logging.WARNING)

    def _none_readable(self) -> DatasetError:
        return DatasetError(f"{self._source}: none of {len(self):,} videos can be read")

    def _options(self) -> dict[str, str]:
        """How the pipeline opens videos."""
        names = [step.template for step in self.pipeline if hasattr(step, "template")]
        return {"template": names[0]} if names else {}

    def _summary(self) -> str:
        count = len(self._videos.classes)
        empty = count - len(np.unique(self._videos.labels))
        without = f", {empty} of them without a video" if empty else ""
        return f"{self._source}: {len(self):,} videos of {count} classes{without}"
