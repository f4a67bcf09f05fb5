from __future__ import annotations

import io

import pytest
from PIL import Image

from tasks.data_checks import find_damage


def _encode(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 60).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def _with_thumbnail(jpeg: bytes) -> bytes:
    """Insert a segment which holds a whole small JPEG file, as cameras do."""
    thumbnail = b"Exif\0\0" + _encode("JPEG", quality=10)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    return jpeg[:2] + segment + jpeg[2:]


JPEG = {
    "baseline": _encode("JPEG"),
    "progressive": _encode("JPEG", progressive=True),
    "with restart markers": _encode("JPEG", restart_marker_blocks=1),
    "with thumbnail": _with_thumbnail(_encode("JPEG")),
}


def _damage(content: bytes) -> str | None:
    return find_damage(io.BytesIO(content))


@pytest.mark.parametrize("trailing", [b"", b"\0" * 600, b"garbage \xff\xd8\xff after", b"\n"])
@pytest.mark.parametrize("kind", JPEG)
def test_whole_jpeg(kind: str, trailing: bytes) -> None:
    assert _damage(JPEG[kind] + trailing) is None


@pytest.mark.parametrize("filling", [b"", b"\0" * 600])
@pytest.mark.parametrize("kind", JPEG)
def test_jpeg_cut_anywhere(kind: str, filling: bytes) -> None:
    content = JPEG[kind]
    inside_thumbnail = content.find(b"\xff\xd9") + 2  # ends as a whole file does
    for length in range(3, len(content) - 1, 7):
        if length != inside_thumbnail:
            assert _damage(content[:length] + filling) == (
                "is cut off: a JPEG file without its end marker"
            ), length


def test_png() -> None:
    content = _encode("PNG")
    assert _damage(content) is None
    assert _damage(content + b"garbage") is None
    for length in range(8, len(content), 11):
        assert _damage(content[:length]) == "is cut off: a PNG file without its end chunk"


def test_empty_and_other_formats() -> None:
    assert _damage(b"") == "is empty"
    assert _damage(_encode("BMP")) is None
    assert _damage(_encode("WEBP")) is None
