from __future__ import annotations

import cv2
import numpy as np
import pytest

import tasks.face.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.face.conversion import OutputError, folder_to_records, records_to_folder
from tasks.face.datasets.record_dataset import FaceRecordDataset
from tasks.face.datasets.recordio import RecordFile


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path, face):
    contents = {"bob/x.jpg": face(20), "ann/b.png": face(30, suffix=".png"), "ann/c.jpg": face(40)}
    for name, content in contents.items():
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "faces"


def test_the_records(folder, tmp_path):
    out = tmp_path / "out"
    assert folder_to_records(folder, out) == (3, 2)
    assert set(files(out)) == {"train.rec", "train.idx", "property", "classes.txt"}
    assert (out / "property").read_text() == "2,112,112\n"
    assert (out / "classes.txt").read_text() == "ann\nbob\n"
    file = RecordFile(out / "train.rec")
    records = [file.read(key) for key in range(6)]
    assert [record.labels.tolist() for record in records] == [
        [4, 6], [0, 1], [0, 1], [1, 1], [1, 3], [3, 4],
    ]  # fmt: skip
    contents = [record.content.tobytes() for record in records]
    names = ("ann/b.png", "ann/c.jpg", "bob/x.jpg")
    assert contents == [b"", *((folder / name).read_bytes() for name in names), b"", b""]
    assert FaceRecordDataset(str(out / "train.rec")).metainfo["classes"] == ("ann", "bob")


def test_there_and_back(folder, tmp_path):
    folder_to_records(folder, tmp_path / "out")
    assert records_to_folder(tmp_path / "out" / "train.rec", tmp_path / "back") == (3, 2)
    found, expected = files(tmp_path / "back"), files(folder)
    assert list(found) == ["ann/1.png", "ann/2.jpg", "bob/3.jpg"]
    assert list(found.values()) == list(expected.values())
    folder_to_records(tmp_path / "back", tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "out")


def test_numbers_keep_their_order(write_records, tmp_path):
    rec = write_records((1,) * 11)
    records_to_folder(rec, tmp_path / "back")
    assert list(files(tmp_path / "back"))[:3] == ["00/01.jpg", "01/02.jpg", "02/03.jpg"]
    folder_to_records(tmp_path / "back", tmp_path / "again")
    assert (tmp_path / "again" / "train.rec").read_bytes() == rec.read_bytes()


def test_other_formats_become_png(folder, tmp_path, face):
    (folder / "bob" / "x.jpg").unlink()
    (folder / "bob" / "x.bmp").write_bytes(face(90, suffix=".bmp"))
    folder_to_records(folder, tmp_path / "out")
    content = RecordFile(tmp_path / "out" / "train.rec").read(3).content
    assert content[:4].tobytes() == b"\x89PNG"
    expected = cv2.imread(str(folder / "bob" / "x.bmp"))
    assert (cv2.imdecode(content, cv2.IMREAD_COLOR) == expected).all()


def test_the_centre_square_is_resized(folder, tmp_path):
    image = np.zeros((224, 300, 3), np.uint8)
    image[:, 38:262] = 200  # the centre square
    cv2.imwrite(str(folder / "bob" / "x.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match=r"bob/x\.jpg is 300 x 224, .*--size 112"):
        folder_to_records(folder, out)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]
    folder_to_records(folder, out, size=112)
    resized = cv2.imdecode(RecordFile(out / "train.rec").read(3).content, cv2.IMREAD_COLOR)
    assert resized.shape == (112, 112, 3)
    assert np.abs(resized.astype(int) - 200).max() < 25
    with pytest.raises(ValueError, match="size is 96"):
        folder_to_records(folder, tmp_path / "other", size=96)


def test_an_existing_output(folder, tmp_path):
    out, back = tmp_path / "out", tmp_path / "back"
    for _ in range(2):
        folder_to_records(folder, out, force=True)
        records_to_folder(out / "train.rec", back, force=True)
    before = files(out), files(back)
    with pytest.raises(OutputError, match=r"out exists; .*--force"):
        folder_to_records(folder, out)
    with pytest.raises(OutputError, match=r"back exists; .*--force"):
        records_to_folder(out / "train.rec", back)
    (folder / "bob" / "x.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="is empty"):
        folder_to_records(folder, out, force=True)
    assert (files(out), files(back)) == before
    for place in (out, back):
        (place / "mine.txt").touch()
    with pytest.raises(OutputError, match="does not write"):
        folder_to_records(folder, out, force=True)
    with pytest.raises(OutputError, match="does not write"):
        records_to_folder(out / "train.rec", back, force=True)


@pytest.mark.parametrize("names", ["../a\nb", "a/b\nb", "\nb", "b\nb", ".a\nb"])
def test_names_that_are_no_folders(folder, tmp_path, names):
    folder_to_records(folder, tmp_path / "out")
    (tmp_path / "out" / "classes.txt").write_text(names)
    with pytest.raises(DatasetError, match="cannot be those of folders"):
        records_to_folder(tmp_path / "out" / "train.rec", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_record_that_is_no_image(write_records, tmp_path):
    with pytest.raises(DatasetError, match="record 2 is neither a JPEG nor a PNG image"):
        records_to_folder(write_records((2,), {2: b"text"}), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_progress(folder, tmp_path):
    seen = []
    folder_to_records(folder, tmp_path / "out", progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]
