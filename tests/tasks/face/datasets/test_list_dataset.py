from __future__ import annotations

import pytest
from mmengine.registry import DATASETS

import tasks.face.datasets
import tasks.face.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.face.datasets.recordio import RecordWriter
from tasks.face.datasets.verification_bin import write_bin

PIPELINE = [dict(type="DecodeFace"), dict(type="PackFace")]


def build(root, **kwargs):
    return DATASETS.build(
        dict(type="FaceListDataset", data_root=str(root), pipeline=PIPELINE, **kwargs)
    )


def check(dataset, names):
    assert dataset.metainfo["names"] == names
    assert len(dataset) == len(names)
    for index in range(len(names)):
        assert dataset[index]["data_samples"] == index
        assert dataset[index]["inputs"].shape == (112, 112, 3)


@pytest.fixture
def folder(tmp_path, face):
    for name in ("b/2 x.jpg", "b/1.jpg", "a.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(face(suffix=path.suffix))
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_a_folder(folder):
    check(build(folder), ["a.png", "b/1.jpg", "b/2 x.jpg"])


def test_a_list(folder):
    (folder / "list.txt").write_text("b/2 x.jpg\n\na.png\n")
    check(build(folder, ann_file="list.txt"), ["b/2 x.jpg", "a.png"])


def test_records(write_records):
    rec = write_records((2, 1))
    check(build(rec.parent, rec=rec.name), ["1", "2", "3"])


def test_records_without_identities(tmp_path, face):
    with RecordWriter(tmp_path / "a.rec") as writer:
        for key in (7, 3):
            writer.write(key, 0.0, face())
    check(build(tmp_path, rec="a.rec"), ["3", "7"])


def test_a_bin(tmp_path, face):
    write_bin(tmp_path / "a.bin", [face(), face()], [True])
    check(build(tmp_path, bin="a.bin"), ["0", "1"])


def test_mistakes(folder):
    (folder / "list.txt").write_text("a.png 0\nb/1.jpg\n")
    with pytest.raises(DatasetError, match=r"(?s)1 of 2 images .* missing in .*'a.png 0'"):
        build(folder, ann_file="list.txt")
    (folder / "list.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"list\.txt names no image"):
        build(folder, ann_file="list.txt")
    with pytest.raises(DatasetError, match="give one of ann_file, rec and bin"):
        build(folder, ann_file="list.txt", rec="a.rec")
    with pytest.raises(DatasetError, match="absent' is not a folder"):
        build(folder / "absent")
    (folder / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no images"):
        build(folder / "empty")
