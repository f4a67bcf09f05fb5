"""Frames of video files by their place."""

from __future__ import annotations

import multiprocessing
import os
import random
from fractions import Fraction

import av
import numpy as np
import pytest

from tasks.video.decoding import VideoFile, open_video
from tests.tasks.video.decoding.movies import decode_all, greys, movie
from tests.tasks.video.videos import write_video

ENCODINGS = {
    "pyramid.mp4": ("libx264", {"x264-params": "b-pyramid=normal:bframes=7:b-adapt=0:ref=5"}),
    "strict.mkv": ("libx264", {"x264-params": "b-pyramid=strict:bframes=3:b-adapt=0"}),
    "open.mp4": ("libx264", {"x264-params": "open-gop=1:bframes=3:b-adapt=0"}),
    "open.ts": ("libx264", {"x264-params": "open-gop=1:bframes=5:b-adapt=0"}),
    "refreshed.mp4": ("libx264", {"x264-params": "intra-refresh=1:bframes=0"}),
    "refreshed.mkv": ("libx264", {"x264-params": "intra-refresh=1"}),
    "unstamped.avi": ("libx264", {"x264-params": "open-gop=1:bframes=3:b-adapt=0"}),
    "open265.mp4": ("libx265", {"x265-params": "log-level=none:open-gop=1:bframes=4"}),
    "layers265.mkv": ("libx265", {"x265-params": "log-level=none:temporal-layers=3:bframes=4"}),
    "nine.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "hidden.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "2000000"}),
    "four.avi": ("mpeg4", {"bf": "2"}),
    "four.mp4": ("mpeg4", {"bf": "2"}),
    "two.mpg": ("mpeg2video", {"bf": "2"}),
    "stills.avi": ("mjpeg", {}),
    "one.mp4": ("libsvtav1", {"preset": "12"}),
    "flash.flv": ("flv", {}),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_as_in_decoding_all(tmp_path, name):
    codec, options = ENCODINGS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV without {codec}")
    frames = movie()
    write_video(tmp_path / name, frames, codec=codec, options=options)
    whole = decode_all(tmp_path / name)
    draw = random.Random(0)
    with open_video(str(tmp_path / name)) as video:
        assert (len(video), video.size) == (40, (64, 48))
        assert np.array_equal(video.read(range(40)), whole)
        assert video.fps == pytest.approx(30, rel=1e-2)
        assert np.allclose(video.times, np.arange(40) / 30, atol=1e-3)
    for _ in range(12):
        asked = [draw.randrange(40) for _ in range(draw.randint(1, 4))]
        if draw.random() < 0.5:
            asked = list(range(draw.randrange(20), 40, draw.randint(2, 9)))
        with open_video(str(tmp_path / name)) as video:
            assert np.array_equal(video.read(asked), whole[asked]), asked
            assert video.stood_in == 0
    # In the order in which they were given to the encoder.
    distances = [np.abs(frames - whole[k].astype(float)).mean((1, 2, 3)) for k in range(40)]
    assert np.array_equal(np.argmin(distances, 1), np.arange(40))


def test_colours(tmp_path):
    frames = np.zeros((3, 48, 64, 3), np.uint8)
    frames[:] = (200, 60, 20)
    write_video(tmp_path / "a.mp4", frames)
    with VideoFile(str(tmp_path / "a.mp4")) as video:
        read = video.read([0, 2])
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - frames[:2]).max() <= 4


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("libx264", "yuvj420p", "full.mp4"),
        ("libx264", "gray", "grey.mp4"),
        ("libx264", "yuv420p10le", "ten.mp4"),
        ("libx265", "yuv420p10le", "ten.mkv"),
        ("mjpeg", "yuvj422p", "full.avi"),
        ("ffv1", "bgr0", "rgb.mkv"),
    ],
)
def test_pixel_formats(tmp_path, codec, pix_fmt, name):
    options = {"x264-params": "fullrange=on"} if pix_fmt == "gray" else None
    write_video(tmp_path / name, greys(50), codec=codec, pix_fmt=pix_fmt, options=options)
    with VideoFile(str(tmp_path / name)) as video:
        assert np.abs(video.read([0, 20, 49]).astype(int) - greys(50)[[0, 20, 49]]).max() <= 3


@pytest.mark.parametrize("size", [(47, 63), (1, 3), (48, 65)])
def test_odd_sizes(tmp_path, size):
    frames = greys(5, *size)
    write_video(tmp_path / "a.mp4", frames)
    with VideoFile(str(tmp_path / "a.mp4")) as video:
        assert video.size == size[::-1]
        assert np.abs(video.read(range(5)).astype(int) - frames).max() <= 3


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation(tmp_path, rotation):
    frames = greys(6)
    frames[:, :24, :32] = 250
    write_video(tmp_path / "a.mp4", frames, rotation=rotation)
    right = np.rot90(frames, rotation // 90, (1, 2))
    with VideoFile(str(tmp_path / "a.mp4")) as video:
        assert video.size == right.shape[2:0:-1]
        read = video.read(range(6))
    assert read.shape == right.shape
    assert np.abs(read.astype(int) - right).mean() < 4


def test_one_frame(tmp_path):
    write_video(tmp_path / "a.mp4", greys(1))
    with VideoFile(str(tmp_path / "a.mp4")) as video:
        assert (len(video), video.times.tolist()) == (1, [0])
        assert video.read([0, 0]).shape == (2, 48, 64, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_rate(tmp_path, name):
    times = [2 + 0.04 * k + 0.5 * (k >= 10) for k in range(20)]
    write_video(tmp_path / name, greys(20), times=times)
    with VideoFile(str(tmp_path / name)) as video:
        assert video.times == pytest.approx(np.array(times) - 2, abs=1e-3)
        assert video.fps == pytest.approx(19 / (0.04 * 19 + 0.5))
        assert np.abs(video.read([11]).astype(int) - greys(20)[11]).max() <= 3


def test_times_that_repeat(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, pixels in enumerate(greys(6)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for packet in stream.encode(frame):
                packet.pts = packet.dts = number // 2
                packet.time_base = Fraction(1, 30)
                container.mux(packet)
    with VideoFile(str(path)) as video:
        assert video.times == pytest.approx(np.array([0, 0, 1, 1, 2, 2]) / 30, abs=1e-3)
        assert np.abs(video.read(range(6)).astype(int) - greys(6)).max() <= 3


def test_edit_list(tmp_path):
    """A cut without encoding anew begins at a key frame whose first frames are hidden."""
    write_video(tmp_path / "a.mp4", greys(40), options={"x264-params": "bframes=0"})
    with (
        av.open(str(tmp_path / "a.mp4")) as container,
        av.open(str(tmp_path / "cut.mp4"), "w", options={"use_editlist": "1"}) as cut,
    ):
        stream = container.streams.video[0]
        target = cut.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.dts is not None and packet.pts * stream.time_base >= Fraction(12, 30):
                packet.pts -= round(Fraction(17, 30) / stream.time_base)
                packet.dts -= round(Fraction(17, 30) / stream.time_base)
                packet.stream = target
                cut.mux(packet)
    with VideoFile(str(tmp_path / "cut.mp4")) as video:
        whole = decode_all(tmp_path / "cut.mp4")
        assert len(video) == len(whole) == 23
        assert np.array_equal(video.read([0, 22]), whole[[0, 22]])
        assert np.abs(video.read([0]).astype(int) - greys(40)[17]).max() <= 3


def test_size_changes_in_mid_stream(tmp_path):
    names = []
    for number, size in enumerate([(48, 64), (96, 128)]):
        names.append(tmp_path / f"{number}.h264")
        options = {"x264-params": "bframes=0"}
        write_video(names[-1], greys(10, *size), options=options)
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(name.read_bytes() for name in names))
    with VideoFile(str(path)) as video:
        assert (len(video), video.size) == (20, (64, 48))
        right = np.concatenate([greys(10), greys(10)])
        assert np.abs(video.read(range(20)).astype(int) - right).max() <= 3


def test_any_order_and_no_frame(tmp_path):
    write_video(tmp_path / "a.mp4", greys(30), gop=5)
    with VideoFile(str(tmp_path / "a.mp4")) as video:
        asked = [29, 0, 7, 7, 3, 29]
        assert np.array_equal(video.read(asked), video.read(range(30))[asked])
        assert video.read([]).shape == (0, 48, 64, 3)
        for wrong in (30, -1):
            with pytest.raises(IndexError, match=rf"a\.mp4: frame {wrong} .* frames 0 to 29"):
                video.read([3, wrong])
    video.close()
    with pytest.raises(ValueError, match=r"a\.mp4 is closed"):
        video.read([0])


def test_odd_paths(tmp_path):
    for name in ("concat:a|b.mp4", "100% é.mp4", os.fsdecode(b"\xff\xfe.mp4")):
        write_video(tmp_path / "a.mp4", greys(3))
        path = os.path.join(tmp_path, name)
        os.rename(tmp_path / "a.mp4", path)
        with open_video(path) as video:
            assert len(video.read([0, 2])) == 2


def test_files_are_closed(tmp_path):
    write_video(tmp_path / "a.mp4", greys(3))
    (tmp_path / "bad.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:-200])
    before = len(os.listdir("/proc/self/fd"))
    readers = []
    for _ in range(300):
        with open_video(str(tmp_path / "a.mp4")) as video:
            readers.append(video)
        with pytest.raises(ValueError, match=r"bad\.mp4"):
            open_video(str(tmp_path / "bad.mp4"))
    assert len(os.listdir("/proc/self/fd")) == before


def _read_in_worker(path, queue):
    with open_video(path) as video:
        queue.put(video.read([3, 17]).tobytes())


def test_forked_workers(tmp_path):
    path = str(tmp_path / "a.mp4")
    write_video(path, movie(20))
    with open_video(path) as video:
        right = video.read([3, 17]).tobytes()
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        workers = [
            context.Process(target=_read_in_worker, args=(path, queue), daemon=True)
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        assert [queue.get(timeout=60) for _ in workers] == [right, right]
        for worker in workers:
            worker.join()
