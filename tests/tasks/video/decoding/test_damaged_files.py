"""Files that are cut off or damaged in the middle."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest

from tasks.video.decoding import VideoError, VideoFile, open_video
from tests.tasks.video.decoding.movies import decode_all, fast_start, greys, movie
from tests.tasks.video.videos import write_video


def _scribble(path, start, stop):
    content = bytearray(path.read_bytes())
    content[start:stop] = bytes(random.Random(0).randbytes(stop - start))
    path.write_bytes(content)


def _images(content):
    """Where the JPEG images in a file start."""
    return [k for k in range(len(content) - 2) if content[k : k + 3] == b"\xff\xd8\xff"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ts", "a.avi"])
def test_cut_anywhere(tmp_path, name):
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    whole = tmp_path / name
    write_video(whole, movie(30), codec=codec, gop=3)
    if name.endswith("mp4"):
        write_video(tmp_path / "b.mp4", movie(30), gop=3)
        fast_start(tmp_path / "b.mp4", whole)
    right = decode_all(whole)
    content = whole.read_bytes()
    counts = []
    for part in range(5, 10):
        cut = tmp_path / f"cut_{name}"
        cut.write_bytes(content[: len(content) * part // 10])
        with open_video(str(cut)) as video:
            counts.append(len(video))
            read = video.read(range(len(video)))
            assert video.stood_in <= 1
            # All but a few at the end, whose packets or those that they refer to are missing.
            same = [any(np.array_equal(frame, other) for other in right) for frame in read]
            assert sum(same) >= len(same) - 4
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] < 30


def test_frames_that_do_not_decode(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, greys(20), codec="mjpeg")
    content = path.read_bytes()
    starts = _images(content)
    assert len(starts) == 20
    damaged = bytearray(content)
    for number in (0, 1, 7, 8, 9, 19):
        damaged[starts[number] : starts[number] + 200] = bytes(200)
    path.write_bytes(damaged)
    with VideoFile(str(path)) as video:
        assert len(video) == 20
        assert video.size == (64, 48)
        stands = {0: 2, 1: 2, 7: 6, 8: 6, 9: 10, 19: 18, 5: 5}
        assert video.stood_in == 0
        for asked, shown in stands.items():
            frame = video.read([asked])[0]
            assert np.abs(frame.astype(int) - greys(20)[shown]).max() <= 3, asked
        assert video.stood_in == 6
        video.read(range(20))
        assert video.stood_in == 6


def test_damage_in_the_middle(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, movie(40))
    right = decode_all(path)
    size = path.stat().st_size
    _scribble(path, size // 2, size // 2 + 400)
    with VideoFile(str(path)) as video:
        assert len(video) == 40
        read = video.read(range(40))
        assert np.array_equal(read[:10], right[:10])
        assert np.array_equal(read[-3:], right[-3:])
        # What FFmpeg calls damaged is not shown, and counted.
        assert video.stood_in > 0


def test_none_decodes(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, greys(5), codec="mjpeg")
    content = bytearray(path.read_bytes())
    for start in _images(content):
        content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with VideoFile(str(path)) as video:
        for ask in (lambda: video.read([1, 2]), lambda: video.size):
            with pytest.raises(VideoError, match=r"a\.avi: none of its 5 frames decodes \("):
                ask()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx265"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
        ("a.mpg", "mpeg2video"),
        ("a.ts", "libx264"),
        ("a.flv", "flv"),
    ],
)
def test_nothing_but_video_errors(tmp_path, capfd, name, codec):
    path = tmp_path / name
    write_video(path, movie(12), codec=codec, gop=5)
    content = path.read_bytes()
    draw = random.Random(1)
    capfd.readouterr()
    read = 0
    for _ in range(50):
        damaged = bytearray(content)
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        near = 600 if draw.random() < 0.5 else len(damaged)
        for _ in range(draw.choice([0, 1, 5, 50])):
            if damaged:
                damaged[draw.randrange(min(near, len(damaged)))] = draw.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(VideoError), open_video(str(path)) as video:
            frames = video.read([0, len(video) - 1])
            assert frames.shape == (2, *video.size[::-1], 3)
            assert video.times is None or np.all(np.diff(video.times) >= 0)
            read += 1
    assert read > 10
    assert capfd.readouterr() == ("", "")
