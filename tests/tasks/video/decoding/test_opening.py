"""What is said of files that are no videos."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.video.decoding import FrameFolder, VideoError, VideoFile, open_video
from tests.tasks.video.decoding.movies import fast_start, greys
from tests.tasks.video.videos import write_video


def error_of(path) -> str:
    with pytest.raises(VideoError) as error:
        open_video(str(path))
    assert str(error.value).startswith(str(path))
    return str(error.value)[len(str(path)) + 1 :]


@pytest.fixture
def mp4(tmp_path):
    write_video(tmp_path / "whole.mp4", greys(20))
    return tmp_path / "whole.mp4"


def test_kinds(tmp_path, mp4):
    folder = tmp_path / "frames"
    folder.mkdir()
    cv2.imwrite(str(folder / "img_00001.jpg"), greys(1)[0])
    assert isinstance(open_video(str(folder)), FrameFolder)
    with open_video(str(mp4)) as video:
        assert isinstance(video, VideoFile)
    assert issubclass(VideoError, DatasetError)


def test_missing(tmp_path):
    assert "cannot be read: [Errno 2] No such file" in error_of(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty; fetch it again"),
        (b"<!DOCTYPE html>\n<p>Gone", "is a text file, no video; it begins with '<!DOCTYPE html>"),
        (b"#EXTM3U\n#EXTINF:2,\nwhole.mp4\n", "is a text file, no video"),
        (b"ffconcat version 1.0\nfile whole.mp4\n", "is a text file, no video"),
        (cv2.imencode(".jpg", greys(1)[0])[1].tobytes(), "is a JPEG image, no video; frames go"),
        (cv2.imencode(".png", greys(1)[0])[1].tobytes(), "is a PNG image, no video"),
        (cv2.imencode(".webp", greys(1)[0])[1].tobytes(), "is a WebP image, no video"),
        (bytes(range(128, 256)) * 40, "is no video of a format that is read here, or its head"),
    ],
)
def test_no_videos(tmp_path, mp4, content, text):
    (tmp_path / "a.mp4").write_bytes(content)
    assert text in error_of(tmp_path / "a.mp4")


def test_without_index(tmp_path, mp4):
    content = mp4.read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: len(content) // 2])
    assert error_of(tmp_path / "a.mp4") == (
        "has no index (its moov box, which lies at the end of an MP4 file): it was not downloaded "
        "whole; fetch it again"
    )
    (tmp_path / "b.mp4").write_bytes(content[:-100])
    assert error_of(tmp_path / "b.mp4").startswith("is cut off within its index, 100 bytes")


def test_no_whole_frame(tmp_path, mp4):
    fast_start(mp4, tmp_path / "a.mp4")
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: content.index(b"mdat") + 20])
    assert "without a single whole frame" in error_of(tmp_path / "a.mp4")


def test_sound_alone(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert error_of(tmp_path / "a.mp4") == "has sound alone (aac), no video stream"


def test_no_decoder(tmp_path, mp4):
    (tmp_path / "a.mp4").write_bytes(mp4.read_bytes().replace(b"avc1", b"zzzz"))
    assert error_of(tmp_path / "a.mp4").startswith(
        "is encoded as an unknown codec (zzzz / 0x7A7A7A7A), for which PyAV's FFmpeg has no decoder"
    )


def test_absurd_size(tmp_path):
    write_video(tmp_path / "a.avi", greys(3), codec="ffv1", pix_fmt="bgr0")
    content = (tmp_path / "a.avi").read_bytes()
    size = (64).to_bytes(4, "little") + (48).to_bytes(4, "little")
    huge = (16384).to_bytes(4, "little") * 2
    (tmp_path / "a.avi").write_bytes(content.replace(size, huge))
    assert "frames of no size that can be read by its head; up to 67,108,864" in error_of(
        tmp_path / "a.avi"
    )
