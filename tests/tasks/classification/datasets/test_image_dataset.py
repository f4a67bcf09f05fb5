from __future__ import annotations

import pytest
import torch
from mmengine.registry import DATASETS
from PIL import Image

import tasks.classification  # noqa: F401
from tasks.data_checks import DatasetError


def write(path, colour=(0, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def build(**kwargs):
    return DATASETS.build(dict(type="ImageClassDataset", **kwargs))


@pytest.fixture
def folders(tmp_path):
    for name, count in (("dog", 2), ("cat", 3)):
        for k in range(count):
            write(tmp_path / name / f"{k}.png", (k, len(name), 0))
    write(tmp_path / "dog" / "more" / "deep.JPEG")
    (tmp_path / "dog" / "notes.txt").touch()
    (tmp_path / ".cache").mkdir()
    return tmp_path


def items(dataset):
    return [dataset[k] for k in range(len(dataset))]


class TestClassFolders:
    def test_sub_folders_are_classes_in_alphabetical_order(self, folders):
        dataset = build(data_root=str(folders))
        assert dataset.metainfo == {"classes": ("cat", "dog")}
        paths = [(item["img_path"].removeprefix(f"{folders}/"), item["label"]) for item in
                 items(dataset)]  # fmt: skip
        assert paths == [
            ("cat/0.png", 0),
            ("cat/1.png", 0),
            ("cat/2.png", 0),
            ("dog/0.png", 1),
            ("dog/1.png", 1),
            ("dog/more/deep.JPEG", 1),
        ]

    def test_an_empty_class(self, folders):
        (folders / "emu").mkdir()
        with pytest.raises(DatasetError, match=r"(?s)1 of 3 class folders hold no image.*emu/"):
            build(data_root=str(folders))

    def test_no_classes_and_no_folder(self, tmp_path):
        write(tmp_path / "1.png")
        with pytest.raises(DatasetError, match=r"has no sub-folders; .*'PATH LABEL'"):
            build(data_root=str(tmp_path))
        with pytest.raises(DatasetError, match="absent', does not exist"):
            build(data_root=str(tmp_path), data_prefix="absent")

    def test_other_classes_than_those_of_the_training(self, folders):
        with pytest.raises(DatasetError, match=r"only here \['dog'\], only there \['emu'\]"):
            build(data_root=str(folders), classes=("cat", "emu"))
        assert len(build(data_root=str(folders), classes=("cat", "dog"))) == 6

    def test_workers_share_the_list(self, folders):
        dataset = build(
            data_root=str(folders),
            pipeline=[dict(type="LoadImageTensor"), dict(type="PackImageClass")],
        )
        loader = torch.utils.data.DataLoader(dataset, batch_size=5, num_workers=2)
        batch = next(iter(loader))
        assert batch["inputs"].shape == (5, 3, 8, 8)
        assert batch["data_samples"].tolist() == [0, 0, 0, 1, 1]


class TestListFile:
    @pytest.fixture
    def listed(self, folders):
        (folders / "train.txt").write_text("dog/1.png 0\n\ncat/2.png 2\n")
        return folders

    def test_paths_and_labels(self, listed):
        dataset = build(data_root=str(listed), ann_file="train.txt")
        found = [(item["img_path"], item["label"]) for item in items(dataset)]
        assert found == [(f"{listed}/dog/1.png", 0), (f"{listed}/cat/2.png", 2)]
        assert dataset.metainfo == {"classes": ("0", "1", "2")}

    def test_names_of_classes_beside_it(self, listed):
        (listed / "classes.txt").write_text("setter\nother\nsiamese\n")
        dataset = build(data_root=str(listed), ann_file="train.txt")
        assert dataset.metainfo == {"classes": ("setter", "other", "siamese")}

    def test_a_path_with_spaces(self, listed):
        write(listed / "a b" / "c d.png")
        (listed / "train.txt").write_text("a b/c d.png 1")
        dataset = build(data_root=str(listed), ann_file="train.txt")
        assert dataset[0]["img_path"] == f"{listed}/a b/c d.png"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("cat/0.png 0\ncat/9.png 1\n", r"(?s)1 of 2 images that it lists are missing.*cat/9"),
            ("cat/0.png\n", r"(?s)not of the form 'PATH LABEL'.*line 1: 'cat/0.png'"),
            ("cat/0.png cat\n", r"(?s)not of the form 'PATH LABEL'.*line 1"),
            ("cat/0.png -1\n", r"(?s)not of the form 'PATH LABEL'.*line 1"),
            ("\n", r"train\.txt lists no images"),
        ],
    )
    def test_mistakes(self, listed, text, message):
        (listed / "train.txt").write_text(text)
        with pytest.raises(DatasetError, match=message):
            build(data_root=str(listed), ann_file="train.txt")

    def test_labels_without_a_class(self, listed):
        (listed / "classes.txt").write_text("setter\nother\n")
        with pytest.raises(DatasetError, match=r"label 2, but classes\.txt beside it names 2"):
            build(data_root=str(listed), ann_file="train.txt")
        (listed / "classes.txt").unlink()
        with pytest.raises(DatasetError, match="label 2, but there are 2 classes, 0 to 1"):
            build(data_root=str(listed), ann_file="train.txt", classes=("a", "b"))

    def test_no_file(self, listed):
        with pytest.raises(DatasetError, match=r"val\.txt cannot be read"):
            build(data_root=str(listed), ann_file="val.txt")
