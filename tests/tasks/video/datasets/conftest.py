from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before a test module imports mmdet)
from tests.tasks.video.videos import write_video

FRAMES = 6


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What mmengine's logger, which hands nothing on, is told."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO):
        yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video file of six frames of 48 x 32 pixels, ever brighter."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    levels = np.linspace(0, 250, FRAMES).astype(np.uint8)
    write_video(path, np.tile(levels[:, None, None, None], (1, 32, 48, 3)), gop=3)
    return path.read_bytes()


@pytest.fixture
def put(tmp_path: Path, clip: bytes) -> Callable[..., Path]:
    """Writes video files below `tmp_path`, those named broken without content."""

    def write(*names: str, broken: tuple[str, ...] = ()) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"" if name in broken else clip)
        return tmp_path

    return write


@pytest.fixture
def put_frames(tmp_path: Path) -> Callable[..., Path]:
    """Writes folders of frames of 48 x 32 pixels below `tmp_path`."""

    def write(*names: str, count: int = 4) -> Path:
        for name in names:
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            for number in range(1, count + 1):
                frame = np.full((32, 48, 3), 20 * number, np.uint8)
                cv2.imwrite(str(tmp_path / name / f"img_{number:05d}.jpg"), frame)
        return tmp_path

    return write
