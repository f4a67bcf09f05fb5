"""Frames to encode, and plain decoding of files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def movie(frames: int = 40, height: int = 48, width: int = 64) -> np.ndarray:
    """A pattern that moves, with noise: uint8 of shape (frames, height, width, 3)."""
    random = np.random.default_rng(0)
    tiles = random.integers(255, size=(height // 4, width // 4, 3))
    pattern = np.kron(tiles, np.ones((8, 8, 1)))
    shots = [
        np.roll(pattern, (round(6 * np.sin(number / 5)), 2 * number), (0, 1))[:height, :width]
        for number in range(frames)
    ]
    noisy = np.stack(shots) + random.normal(0, 4, (frames, height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def greys(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame k has the grey value 20 + 4 k everywhere."""
    levels = (20 + 4 * np.arange(frames)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, height, width, 3)).copy()


def decode_all(path: Path) -> np.ndarray:
    """All frames from the first to the last, RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def fast_start(path: Path, out: Path) -> None:
    """Copy an MP4 file with its index in front."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        with av.open(str(out), "w", options={"movflags": "+faststart"}) as copy:
            target = copy.add_stream_from_template(stream)
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = target
                    copy.mux(packet)
