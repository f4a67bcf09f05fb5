from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tasks.detection.datasets.image_files import check_image_content, check_image_files

QUARTER_TURN = 6


def _encode(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 60).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = _encode("JPEG")


def _entry(name: str, width: int = 40, height: int = 30) -> dict:
    return {"file_name": name, "width": width, "height": height}


def test_missing_files_in_nested_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    images = [_entry("a/1.jpg"), _entry("a/2.jpg"), _entry("b/1.jpg")]
    problems, present = check_image_files(images, str(tmp_path))
    assert present == images[:1]
    assert [problem.offenders for problem in problems] == [("'a/2.jpg'", "'b/1.jpg'")]
    assert "2 of 3 image files are missing in" in str(problems[0])


def test_missing_folder(tmp_path: Path) -> None:
    problems, present = check_image_files([_entry("1.jpg")], str(tmp_path / "none"))
    assert present == []
    assert "which is not a folder" in str(problems[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "is not an image"),
        (b"\xff\xd8\xff\xe0 nothing \xff\xd9", "cannot be read: Truncated File"),
        (b"", "is empty"),
        (JPEG[:-60], "is cut off"),
    ],
)
def test_damaged_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "1.jpg").write_bytes(content)
    (tmp_path / "2.jpg").write_bytes(JPEG)
    images = [_entry("1.jpg"), _entry("2.jpg")]
    problems = check_image_content(images, str(tmp_path), exif=True)
    assert len(problems) == 1
    assert len(problems[0].offenders) == 1
    assert f"{tmp_path / '1.jpg'} {message}" in str(problems[0])


def test_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "gone.jpg")
    problems = check_image_content([_entry("1.jpg")], str(tmp_path), exif=True)
    assert "cannot be read" in str(problems[0])


def test_other_size_than_annotated(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    problems = check_image_content([_entry("1.jpg", 30, 40)], str(tmp_path), exif=True)
    assert "1.jpg is 40 x 30, annotated as 30 x 40" in str(problems[0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_size_follows_the_orientation_that_the_loading_applies(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = QUARTER_TURN
    (tmp_path / "1.jpg").write_bytes(_encode(kind, exif=exif))
    turned, stored = [_entry("1.jpg", 30, 40)], [_entry("1.jpg", 40, 30)]
    folder = str(tmp_path)
    assert check_image_content(turned, folder, exif=True) == []
    assert check_image_content(stored, folder, exif=False) == []
    assert "color_ignore_orientation" in str(check_image_content(stored, folder, exif=True)[0])
    assert len(check_image_content(turned, folder, exif=False)) == 1


def test_unreadable_exif_is_ignored_as_the_loading_does(tmp_path: Path) -> None:
    exif = b"Exif\0\0 not a TIFF header"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "1.jpg").write_bytes(JPEG[:2] + segment + JPEG[2:])
    assert check_image_content([_entry("1.jpg")], str(tmp_path), exif=True) == []


@pytest.mark.parametrize("side", [20_000, 60_000])  # above the limit, and above Pillow's error
def test_picture_with_too_many_pixels(side: int, tmp_path: Path) -> None:
    size = side.to_bytes(2, "big")
    frame = JPEG.index(b"\xff\xc0") + 5
    (tmp_path / "1.jpg").write_bytes(JPEG[:frame] + size + size + JPEG[frame + 4 :])
    (problem,) = check_image_content([_entry("1.jpg")], str(tmp_path), exif=True)
    assert f"1.jpg cannot be read: is {side} x {side} by its head" in problem.offenders[0]
