"""Folders of faces, a folder for each identity, into RecordIO files and back."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from normlib.checkpoint.saving import replacing_folder
from tasks.data_checks import DatasetError, leads_out
from tasks.image_classes import read_class_folders

from .datasets.files import read_bytes
from .datasets.record_dataset import FaceRecordDataset
from .datasets.recordio import RecordWriter
from .transforms.decoding import IMAGE_SIZE, decode_rgb, wrong_size

Progress = Callable[[int, int], None]
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
_RECORD_FILES = {"train.rec", "train.idx", "property", "classes.txt"}
_KEY_FILE = re.compile(r"\d+\.(jpg|png)")
_ALIGNED = 1.0  # second label of images in files of faces: aligned to landmarks


class OutputError(ValueError):
    """The output cannot be written where it is asked for."""


def folder_to_records(
    folder: Path,
    out: Path,
    size: int | None = None,
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[int, int]:
    """Write `train.rec`, `train.idx`, `property` and `classes.txt`, laid out as MS1MV2's.

    JPEG and PNG files of 112 x 112 are taken as they are, with the orientation that EXIF data ask
    for, which all loading follows. Others become PNG, and resized ones JPEG of quality 95.

    Args:
        folder: Holds a folder for each identity. Labels follow the order of their names.
        out: Folder to make, complete or not at all.
        size: 112 to resize the centre square of images of another size, an error otherwise.
        force: Replace what an earlier conversion wrote there.
        progress: Called with (images done, images in all).

    Returns:
        Numbers of images and of identities.

    Raises:
        DatasetError: An image is damaged or of another size, or an identity has none.
        OutputError: There is something in the place of `out`.
    """
    if size not in (None, IMAGE_SIZE[0]):
        raise ValueError(f"size is {size}; images of faces are {IMAGE_SIZE[0]} x {IMAGE_SIZE[1]}")
    _check_output(out, force, _made_records)
    found = read_class_folders(str(folder), "face_data")
    names, count = found.classes or (), len(found.paths)
    ends = np.searchsorted(found.labels, np.arange(len(names)), side="right")
    with replacing_folder(out) as scratch:
        with RecordWriter(scratch / "train.rec") as writer:
            first = count + 1
            writer.write(0, [first, first + len(names)], b"")
            for number, (path, label) in enumerate(zip(found.paths, found.labels, strict=True), 1):
                content = _encoded(os.path.join(found.folder, os.fsdecode(path)), size is not None)
                writer.write(number, [float(label), _ALIGNED], content)
                progress(number, count)
            for label, end in enumerate(ends.tolist()):
                begin = ends[label - 1] if label else 0
                writer.write(first + label, [float(begin + 1), float(end + 1)], b"")
        width, height = IMAGE_SIZE
        (scratch / "property").write_text(f"{len(names)},{height},{width}\n")
        (scratch / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    return count, len(names)


def records_to_folder(
    rec: Path, out: Path, force: bool = False, progress: Progress = lambda *_: None
) -> tuple[int, int]:
    """Write every image of a file of records to a file `IDENTITY/KEY.jpg`, or `.png`.

    Folders are named as `classes.txt` beside the file says, else by the numbers of the identities;
    numbers get zeros in front, so that their order is that of the names.

    Args:
        rec: The file of records.
        out: Folder to make, complete or not at all.
        force: Replace what an earlier conversion wrote there.
        progress: Called with (images done, images in all).

    Returns:
        Numbers of images and of identities that have images.

    Raises:
        DatasetError: The file is damaged, an image is neither JPEG nor PNG, or the name of an
            identity cannot be that of a folder.
        OutputError: There is something in the place of `out`.
    """
    _check_output(out, force, _made_folder)
    dataset = FaceRecordDataset(str(rec))
    names = dataset.metainfo["classes"]
    if names == tuple(map(str, range(len(names)))):
        names = tuple(name.zfill(len(names[-1])) for name in names)
    wrong = [name for name in names if "/" in name or name[:1] in ("", ".") or leads_out(name)]
    if wrong or len(set(names)) != len(names):
        raise DatasetError(
            f"classes.txt beside {rec} has names that cannot be those of folders: "
            f"{wrong[:3] or 'one of them twice'}"
        )
    made = set()
    keys = [dataset.key(index) for index in range(len(dataset))]
    digits = len(str(max(keys)))
    with replacing_folder(out) as scratch:
        for index, key in enumerate(keys):
            content = dataset.encoded(index).tobytes()
            suffix = _suffix(content)
            if suffix is None:
                raise DatasetError(
                    f"{rec}: record {key} is neither a JPEG nor a PNG image; it begins with "
                    f"{content[:8]!r}"
                )
            name = names[dataset.label(index)]
            if name not in made:
                (scratch / name).mkdir()
                made.add(name)
            (scratch / name / f"{key:0{digits}d}{suffix}").write_bytes(content)
            progress(index + 1, len(keys))
    return len(keys), len(made)


def _suffix(content: bytes) -> str | None:
    suffixes = {_JPEG: ".jpg", _PNG: ".png"}
    return next((suffix for head, suffix in suffixes.items() if content.startswith(head)), None)


def _encoded(path: str, resize: bool) -> bytes:
    content = read_bytes(path)
    image = decode_rgb(content, path)
    if image.shape[1::-1] == IMAGE_SIZE:
        kept = content.tobytes()
        if _suffix(kept) is not None:
            return kept
        return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    if not resize:
        raise DatasetError(
            f"{wrong_size(path, image.shape[1::-1])}, or resize their centre squares with "
            f"--size {IMAGE_SIZE[0]}"
        )
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > IMAGE_SIZE[0] else cv2.INTER_LINEAR
    face = cv2.cvtColor(cv2.resize(square, IMAGE_SIZE, interpolation=method), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", face, _QUALITY)[1].tobytes()


def _check_output(out: Path, force: bool, made_here: Callable[[Path], bool]) -> None:
    if not os.path.lexists(out):
        return
    if not force:
        raise OutputError(f"{out} exists; name another folder, or replace it with --force")
    if not out.is_dir() or not made_here(out):
        raise OutputError(
            f"{out} holds what this conversion does not write, and is not replaced; name another "
            "folder"
        )


def _made_records(out: Path) -> bool:
    return {path.name for path in out.iterdir()} <= _RECORD_FILES


def _made_folder(out: Path) -> bool:
    return all(
        path.is_dir() and all(_KEY_FILE.fullmatch(inner.name) for inner in path.iterdir())
        for path in out.iterdir()
    )
