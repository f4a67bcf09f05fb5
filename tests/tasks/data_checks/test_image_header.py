from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from tasks.data_checks.image_header import read_header


def header(image: Image.Image, kind: str, **options: object) -> tuple:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return read_header(buffer)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_sizes_and_formats(kind: str) -> None:
    assert header(Image.new("RGB", (40, 30)), kind) == (40, 30, kind, False, "RGB", False)


@pytest.mark.parametrize(
    ("mode", "single", "pixels"),
    [
        ("L", True, "8-bit grey"),
        ("P", True, "palette"),
        ("1", True, "1-bit grey"),
        ("LA", False, "grey and alpha"),
        ("RGBA", False, "RGBA"),
        ("I;16", False, "16-bit grey"),
    ],
)
def test_pixels_that_are_one_number(mode: str, single: bool, pixels: str) -> None:
    assert header(Image.new(mode, (4, 3)), "PNG")[3:5] == (single, pixels)


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [("I;16", "16-bit grey"), ("I", "32-bit grey"), ("F", "32-bit floating-point")],
)
def test_pixels_of_many_bits(mode: str, pixels: str) -> None:
    assert header(Image.new(mode, (4, 3)), "TIFF")[3:5] == (False, pixels)


def test_grey_values_that_would_be_scaled() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        length, check = len(content), zlib.crc32(kind + content)
        return struct.pack(">I", length) + kind + content + struct.pack(">I", check)

    def grey(bits: int) -> bytes:
        rows = zlib.compress(bytes(3 * (1 + 4 * bits // 8)))
        shape = struct.pack(">IIBBBBB", 4, 3, bits, 0, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", shape)
            + chunk(b"IDAT", rows)
            + chunk(b"IEND", b"")
        )

    assert read_header(io.BytesIO(grey(4))) == (4, 3, "PNG", False, "4-bit grey", False)
    assert read_header(io.BytesIO(grey(8))) == (4, 3, "PNG", True, "8-bit grey", False)


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (6, True)])
def test_exif(orientation: int, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert header(Image.new("RGB", (4, 3)), "JPEG", exif=exif).turned is turned


def test_no_image() -> None:
    with pytest.raises(OSError, match="cannot identify image file"):
        read_header(io.BytesIO(b"\x89PNG\r\n\x1a\n"))
