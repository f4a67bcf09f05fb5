"""Small files that stand for images of gigabytes are refused by their heads, in every loader."""

from __future__ import annotations

import io
import struct
import zlib

import mmcv
import numpy as np
import pytest
from mmengine.registry import DATASETS, TRANSFORMS
from PIL import Image

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before mmseg is imported)
import tasks.classification
import tasks.face
import tasks.segmentation
import tasks.video  # noqa: F401
from normlib import image_size
from normlib.image_size import ImageSizeError, most_pixels, size_in_head, why_refused
from normlib.openmmlab import image_limit
from normlib.openmmlab.hooks import PictureHook
from tasks.data_checks import DatasetError, read_image_file
from tasks.data_checks.image_header import read_header
from tasks.face.datasets.encoded_images import read_checked_bin
from tasks.face.datasets.recordio import RecordWriter
from tasks.face.datasets.verification_bin import write_bin
from tasks.face.transforms.decoding import decode_rgb
from tasks.segmentation.datasets.file_check import check_files
from tasks.segmentation.datasets.label_file import read_label
from tasks.video.decoding import FrameFolder, VideoError, VideoFile
from tests.tasks.video.videos import write_video

SIDE = 60_000


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 60).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def png(side: int) -> bytes:
    """A whole, compressed black image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side // 100))
    data = rows + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(side: int, **options: object) -> bytes:
    content = encoded("JPEG", **options)
    frame = content.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0") + 5
    return content[:frame] + struct.pack(">HH", side, side) + content[frame + 4 :]


def jpeg_with_gaps(side: int) -> bytes:
    """With bytes between its segments, which decoders jump over."""
    content = jpeg(side)
    return content[:2] + b"\xff\xfe\x00\x04ab" + b"\x00\x11\xff\x00" + content[2:]


def gif(side: int) -> bytes:
    content = encoded("GIF")
    return content[:6] + struct.pack("<HH", side, side) + content[10:]


def bmp(side: int) -> bytes:
    content = encoded("BMP")
    return content[:18] + struct.pack("<ii", side, -side) + content[26:]


def tiff(side: int) -> bytes:
    """A directory that gives the size alone, and one strip."""
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (278, 4, 1, side), (279, 4, 1, 8)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def webp(side: int) -> bytes:
    """Animated; its canvas has sides of up to 2^24."""
    size = (side - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 2) + size + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_lossless(side: int) -> bytes:
    """16,384 is the largest side."""
    bits = struct.pack("<I", 0x3FFF | 0x3FFF << 14)
    body = b"WEBPVP8L" + struct.pack("<I", 6) + b"\x2f" + bits + b"\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body


def ppm(side: int) -> bytes:
    return b"P6\n%d %d\n255\n" % (side, side) + bytes(64)


BOMBS = {
    "PNG": png(SIDE),
    "JPEG": jpeg(SIDE),
    "progressive JPEG": jpeg(SIDE, progressive=True),
    "JPEG with gaps": jpeg_with_gaps(SIDE),
    "GIF": gif(SIDE),
    "BMP": bmp(SIDE),
    "TIFF": tiff(SIDE),
    "WebP": webp(SIDE),
    "lossless WebP": webp_lossless(SIDE),
    "PPM": ppm(SIDE),
}
UNSAFE = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "Radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n" + bytes(400),
    "PFM": b"PF\n9 9\n-1.0\n" + bytes(1000),
    "PAM": b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 1\nMAXVAL 255\nENDHDR\n" + bytes(81),
    "text": b"no image at all",
}


def a_transform(kind, **options):
    def load(path):
        TRANSFORMS.build(dict(type=kind, **options)).transform({"img_path": str(path)})

    return load


def frames(path):
    path.rename(path.with_name("img_00001.jpg"))
    FrameFolder(str(path.parent)).read([0])


def verification(path):
    write_bin(path.with_name("a.bin"), [path.read_bytes()] * 2, [True])
    read_checked_bin(str(path.with_name("a.bin")))


LOADERS = {
    "any": lambda path: read_image_file(str(path)),
    "classification": a_transform("LoadImageTensor"),
    "detection": a_transform("LoadImageChecked"),
    "segmentation, Pillow": a_transform("LoadImageChecked", imdecode_backend="pillow"),
    "labels": lambda path: read_label(str(path)),
    "faces": lambda path: decode_rgb(np.fromfile(path, np.uint8), str(path)),
    "verification sets": verification,
    "frames": frames,
}


@pytest.fixture
def limit(monkeypatch):
    """Sets the limit by the environment, as a user does."""

    def set_to(pixels: object) -> None:
        monkeypatch.setenv(image_size.VARIABLE, str(pixels))
        most_pixels.cache_clear()

    yield set_to
    monkeypatch.undo()
    most_pixels.cache_clear()


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("loader", LOADERS)
def test_bombs(loader, bomb, tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(BOMBS[bomb])
    assert len(BOMBS[bomb]) < 20_000
    with pytest.raises(DatasetError, match=r"178,956,970") as caught:
        LOADERS[loader](path)
    text = str(caught.value)
    assert str(tmp_path) in text
    assert image_size.VARIABLE in text
    pixels = 1 << 28 if bomb == "lossless WebP" else SIDE * SIDE
    assert f"{pixels:,} pixels" in text or f"({pixels} pixels)" in text


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("loader", LOADERS)
def test_formats_whose_heads_are_not_read_are_not_decoded(loader, name, tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(UNSAFE[name])
    with pytest.raises(DatasetError, match="is not an image"):
        LOADERS[loader](path)


@pytest.mark.parametrize("bomb", BOMBS)
def test_decoders_of_openmmlab(bomb):
    image_limit.install()
    with pytest.raises(ImageSizeError, match=r"an image (is|has) .*178,956,970"):
        mmcv.imfrombytes(BOMBS[bomb])


def test_the_transform_of_mmcv(tmp_path):
    image_limit.install()
    (tmp_path / "1.jpg").write_bytes(BOMBS["PNG"])
    with pytest.raises(ImageSizeError, match="60000 x 60000"):
        a_transform("LoadImageFromFile")(tmp_path / "1.jpg")


def test_pictures_of_a_test(tmp_path):
    class Sample:
        img_path = str(tmp_path / "1.jpg")

    (tmp_path / "1.jpg").write_bytes(BOMBS["JPEG"])
    hook = PictureHook(str(tmp_path / "out"))
    with pytest.raises(ImageSizeError, match=r"1\.jpg is 60000 x 60000"):
        hook.after_test_iter(None, 0, outputs=[Sample()])


@pytest.mark.parametrize("bomb", BOMBS)
def test_checks_before_a_training(bomb, tmp_path):
    (tmp_path / "1.jpg").write_bytes(BOMBS[bomb])
    with pytest.raises((ValueError, OSError)):
        read_header(io.BytesIO(BOMBS[bomb]))
    assert check_files([{"img_path": str(tmp_path / "1.jpg")}], exif=True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_sizes_are_those_that_are_decoded(kind, limit):
    content = encoded(kind)
    assert size_in_head(content) == (40, 30)
    assert why_refused(np.frombuffer(content, np.uint8)) is None
    limit(40 * 30)
    assert why_refused(content) is None
    limit(40 * 30 - 1)
    assert "is 40 x 30 by its head, 1,200 pixels; up to 1,199 are read" in why_refused(content)


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}])
def test_other_heads_of_webp(options):
    assert size_in_head(encoded("WEBP", **options)) == (40, 30)


def test_heads_of_jpeg_anywhere():
    content = encoded("JPEG", progressive=True)
    assert size_in_head(content[:2] + b"\xff" * 9 + content[2:]) == (40, 30)
    for length in range(len(content)):
        assert size_in_head(content[:length]) in (None, (40, 30))


@pytest.mark.parametrize("given", ["0", "-1", "many", "1e9", "", "1" * 30])
def test_a_limit_that_is_none(given, limit):
    limit(given)
    with pytest.raises(ImageSizeError, match=r"NORMLIB_MAX_IMAGE_PIXELS is .* whole number"):
        most_pixels()


def test_frames_of_videos(tmp_path, limit):
    path = str(tmp_path / "v.mp4")
    write_video(path, np.zeros((3, 48, 64, 3), np.uint8))
    with VideoFile(path) as video:
        assert video.size == (64, 48)
    limit(64 * 48 - 1)
    with pytest.raises(VideoError, match=r"v\.mp4 .*3,?071"):
        VideoFile(path)


def test_of_an_animation_one_picture_is_decoded(tmp_path, monkeypatch):
    def decode(*_):
        raise AssertionError("torchvision decodes all pictures of an animation")

    monkeypatch.setattr("tasks.classification.transforms.loading.decode_image", decode)
    pictures = [Image.new("RGB", (8, 6), (number, 0, 0)) for number in (250, 1, 2)]
    pictures[0].save(tmp_path / "1.jpg", "GIF", save_all=True, append_images=pictures[1:])
    load = TRANSFORMS.build(dict(type="LoadImageTensor"))
    image = load.transform({"img_path": str(tmp_path / "1.jpg")})["img"]
    assert image.shape == (3, 6, 8)
    assert image[:, 0, 0].tolist() == [250, 0, 0]


def test_a_record_of_faces(tmp_path):
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(0, 0.0, BOMBS["JPEG"])
    pipeline = [dict(type="DecodeFace")]
    dataset = DATASETS.build(
        dict(type="FaceRecordDataset", rec=str(tmp_path / "a.rec"), pipeline=pipeline)
    )
    with pytest.raises(DatasetError, match=r"a\.rec: record 0 .*60000 x 60000"):
        dataset[0]
