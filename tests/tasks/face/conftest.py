from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before a test module imports mmdet)
from tasks.face.datasets.recordio import RecordWriter


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What mmengine's logger, which hands nothing on, is told."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO):
        yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def face() -> Callable[..., bytes]:
    """Gives an encoded image: its left half is red, its right half as bright as `number`."""

    def encode(number: int = 0, size: int = 112, suffix: str = ".jpg") -> bytes:
        image = np.full((size, size, 3), number, np.uint8)
        image[:, : size // 2] = (0, 0, 255)
        return cv2.imencode(suffix, image)[1].tobytes()

    return encode


@pytest.fixture
def write_records(tmp_path: Path, face) -> Callable[..., Path]:
    """Writes a file of records laid out as MS1MV2's, with so many images for each identity."""

    def write(counts=(2, 3, 1), images: dict[int, bytes] | None = None) -> Path:
        rec = tmp_path / "train.rec"
        total = sum(counts)
        labels = np.repeat(np.arange(len(counts)), counts)
        ends = np.cumsum(counts) + 1
        with RecordWriter(rec, tmp_path / "train.idx") as writer:
            writer.write(0, [total + 1, total + 1 + len(counts)], b"")
            for key, label in enumerate(labels.tolist(), 1):
                writer.write(key, [label, 1.0], (images or {}).get(key, face(10 * key)))
            for number, (count, end) in enumerate(zip(counts, ends, strict=True)):
                writer.write(total + 1 + number, [end - count, end], b"")
        (tmp_path / "property").write_text(f"{len(counts)},112,112")
        return rec

    return write
