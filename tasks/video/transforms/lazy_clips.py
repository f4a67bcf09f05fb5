"""Clips that are resized, cropped and mirrored in one pass, when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from .resize_window import resize_window


class Box(NamedTuple):
    """Part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class LazyClips:
    """Clips on which geometric steps are outstanding; `np.asarray` carries them out.

    Of a frame only what the crops keep is resized, into memory that stays in the cache, and is
    copied, or mirrored, from there straight into the result. Pixels are those of the plain steps
    one after the other, except where a resized frame is cropped: there they are read within a 48th
    of a pixel of the same place, a grey level or two at sharp edges.

    Attributes:
        frames: uint8 of shape (clips, T, H, W, 3), red first.
        size: Height and width to which frames are resized before all else; None leaves them.
        boxes: What is kept of a resized frame, one view each; None keeps all of it.
        mirrored: Whether what is kept is mirrored, left for right.
    """

    frames: np.ndarray
    size: tuple[int, int] | None = None
    boxes: tuple[Box, ...] | None = None
    mirrored: bool = False

    @classmethod
    def of(cls, clips: np.ndarray | LazyClips) -> LazyClips:
        """The same clips, ready for geometric steps.

        Args:
            clips: As `frames`, or lazy already.
        """
        return clips if isinstance(clips, cls) else cls(clips)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Of the result: (views, T, height, width, 3), with the views of a clip together."""
        clips, count = self.frames.shape[:2]
        box = self._boxes[0]
        return clips * len(self._boxes), count, box.height, box.width, 3

    def resized(self, height: int, width: int) -> LazyClips:
        """Resize all frames by linear interpolation, as OpenCV does without antialiasing.

        Args:
            height: In pixels.
            width: In pixels.
        """
        if (height, width) == self.shape[2:4]:
            return self
        if self.size is not None or len(self._boxes) > 1:
            return LazyClips(np.asarray(self), (height, width))
        top, left, kept_height, kept_width = self._boxes[0]
        frames = self.frames[:, :, top : top + kept_height, left : left + kept_width]
        return LazyClips(frames, (height, width), mirrored=self.mirrored)

    def cropped(self, boxes: Sequence[Box]) -> LazyClips:
        """Keep parts of all frames.

        Args:
            boxes: Of one size, within the frames; each makes a view of every clip.
        """
        if self.mirrored:
            width = self.shape[3]
            boxes = [box._replace(left=width - box.left - box.width) for box in boxes]
        kept = [
            Box(outer.top + inner.top, outer.left + inner.left, inner.height, inner.width)
            for outer in self._boxes
            for inner in boxes
        ]
        return replace(self, boxes=tuple(kept))

    def flipped(self) -> LazyClips:
        """Mirror all frames, left for right."""
        return replace(self, mirrored=not self.mirrored)

    @property
    def _boxes(self) -> tuple[Box, ...]:
        return self.boxes or (Box(0, 0, *(self.size or self.frames.shape[2:4])),)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = (Box(0, 0, *self.frames.shape[2:4]),)
        if self.size is None and self._boxes == whole and not self.mirrored:
            array = self.frames
        else:
            array = self._carried_out()
        return np.array(array, dtype, copy=True) if copy else np.asarray(array, dtype)

    def _carried_out(self) -> np.ndarray:
        views = np.empty((len(self.frames), len(self._boxes), *self.shape[1:]), np.uint8)
        source, size, boxes = self._plan()
        frames = self.frames[:, :, source[0], source[1]]
        scratch = None if size is None else np.empty((*size, 3), np.uint8)
        for clip, clip_views in zip(frames, views, strict=True):
            for number, frame in enumerate(clip):
                if scratch is not None:
                    cv2.resize(frame, scratch.shape[1::-1], scratch, interpolation=cv2.INTER_LINEAR)
                    frame = scratch
                for box, view in zip(boxes, clip_views[:, number], strict=True):
                    self._keep(frame, box, view)
        return views.reshape(self.shape)

    def _plan(self) -> tuple[tuple[slice, slice], tuple[int, int] | None, list[Box]]:
        """The part of the frames that counts, the size that it takes, and the boxes in that."""
        if self.size is None:
            return (slice(None), slice(None)), None, list(self._boxes)
        windows = []
        for axis in (0, 1):
            first = min(box[axis] for box in self._boxes)
            end = max(box[axis] + box[axis + 2] for box in self._boxes)
            sides = self.frames.shape[2 + axis], self.size[axis]
            windows.append(resize_window(first, end - first, *sides))
        (rows, target_rows), (columns, target_columns) = windows
        size = target_rows.stop - target_rows.start, target_columns.stop - target_columns.start
        boxes = [
            box._replace(top=box.top - target_rows.start, left=box.left - target_columns.start)
            for box in self._boxes
        ]
        return (rows, columns), size, boxes

    def _keep(self, frame: np.ndarray, box: Box, view: np.ndarray) -> None:
        part = frame[box.top : box.top + box.height, box.left : box.left + box.width]
        if self.mirrored:
            cv2.flip(part, 1, view)
        else:
            np.copyto(view, part)
