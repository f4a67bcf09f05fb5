from __future__ import annotations

import pytest
from mmengine.registry import DATASETS

import tasks.face.datasets
import tasks.face.transforms  # noqa: F401
from tasks.data_checks import DatasetError

PIPELINE = [dict(type="DecodeFace"), dict(type="PackFace")]


def build(root, **kwargs):
    kwargs = dict(pipeline=PIPELINE) | kwargs
    return DATASETS.build(dict(type="FaceImageDataset", data_root=str(root), **kwargs))


@pytest.fixture
def root(tmp_path, face):
    for name, count in (("bob", 1), ("ann", 2)):
        for number in range(count):
            path = tmp_path / name / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(face(100 * number))
    return tmp_path


def test_class_folders(root):
    dataset = build(root)
    assert [int(dataset[index]["data_samples"]) for index in range(3)] == [0, 0, 1]
    assert dataset.metainfo == {"classes": ("ann", "bob")}
    assert dataset[1]["inputs"].shape == (112, 112, 3)
    assert build(root, num_classes=3).metainfo == {"classes": ("ann", "bob", "2")}
    assert build(root, pipeline=[])[2]["img_path"] == f"{root}/bob/0.jpg"


def test_a_list(root):
    (root / "list.txt").write_text("bob/0.jpg 4\nann/1.jpg 0\n")
    dataset = build(root, ann_file="list.txt")
    assert [int(dataset[index]["data_samples"]) for index in range(2)] == [4, 0]
    assert dataset.num_classes == 5
    with pytest.raises(DatasetError, match=r"list\.txt has the label 4, but num_classes=3"):
        build(root, ann_file="list.txt", num_classes=3)


def test_mistakes(root, face):
    with pytest.raises(DatasetError, match=r"does not exist .*face_data\.root"):
        build(root / "absent")
    dataset = build(root, max_undecodable=1)
    (root / "ann" / "0.jpg").write_bytes(b"")
    assert (dataset[0]["inputs"] == dataset[1]["inputs"]).all()
    assert dataset.skipped() == [f"{root}/ann/0.jpg"]
    (root / "ann" / "1.jpg").write_bytes(face(size=100))
    with pytest.raises(DatasetError, match=r"ann/1\.jpg is 100 x 100"):
        dataset[1]
    (root / "bob" / "0.jpg").unlink()
    with pytest.raises(DatasetError, match=r"bob/0\.jpg cannot be read"):
        dataset[2]


def test_examination(root, face):
    dataset = build(root)
    assert dataset.examine(2).file == f"{root}/bob/0.jpg"
    assert dataset.examine(2).labels == {1: 1}
    assert dataset.picture(2).ndim == 3
    (root / "bob" / "0.jpg").write_bytes(face()[:-10])
    assert "is cut off" in dataset.examine(2).problems[0]
