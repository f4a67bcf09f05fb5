from __future__ import annotations

import pickle

import pytest
import torch
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader

import tasks.face.datasets
import tasks.face.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.data_checks.split_check import check_split
from tasks.face.datasets.verification_bin import write_bin
from tasks.face.transforms import face_collate

PIPELINE = [dict(type="DecodeFace"), dict(type="PackFace")]


def build(root, **kwargs):
    kwargs = dict(pipeline=PIPELINE) | kwargs
    return DATASETS.build(dict(type="VerificationDataset", data_root=str(root), **kwargs))


def sets(dataset):
    return {
        name: (found["pairs"].tolist(), found["same"].tolist())
        for name, found in dataset.metainfo["sets"].items()
    }


def shade(image):
    return round(float(image[..., -5:, :].mean()) / 20)


@pytest.fixture
def root(tmp_path, face):
    write_bin(tmp_path / "lfw.bin", [face(20 * n) for n in range(6)], [True, False, True])
    for name, numbers in (("Ann_A", (1, 2, 3)), ("Bob", (1, 10))):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in numbers:
            suffix = ".png" if name == "Bob" else ".jpg"
            path = tmp_path / "images" / name / f"{name}_{number:04d}{suffix}"
            path.write_bytes(face(20 * number, suffix=suffix))
    return tmp_path


class TestSets:
    def test_a_bin(self, root):
        dataset = build(root, bins=["lfw.bin"])
        assert sets(dataset) == {"lfw": ([[0, 1], [2, 3], [4, 5]], [True, False, True])}
        assert [shade(dataset[n]["inputs"]) for n in range(6)] == list(range(6))
        assert [dataset[n]["data_samples"] for n in range(6)] == list(range(6))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_loader(self, root, workers):
        dataset = pickle.loads(pickle.dumps(build(root, bins=["lfw.bin"])))
        loader = DataLoader(dataset, 4, num_workers=workers, collate_fn=face_collate)
        numbers = torch.cat([batch["data_samples"] for batch in loader])
        assert numbers.tolist() == list(range(6))
        assert numbers.dtype == torch.int64

    def test_paths(self, root):
        (root / "pairs.tsv").write_text(
            "images/Ann_A/Ann_A_0001.jpg images/Bob/Bob_0001.png 0\n\n"
            "images/Ann_A/Ann_A_0003.jpg images/Ann_A/Ann_A_0001.jpg 1\n"
        )
        dataset = build(root, bins=["lfw.bin"], pairs=dict(mine="pairs.tsv"))
        assert list(sets(dataset)) == ["lfw", "mine"]
        files = [found["file"] for found in dataset.metainfo["sets"].values()]
        assert files == [f"{root}/lfw.bin", f"{root}/pairs.tsv"]
        assert sets(dataset)["mine"] == ([[6, 7], [8, 6]], [False, True])
        assert len(dataset) == 9  # an image of two pairs is there once
        assert [shade(dataset[n]["inputs"]) for n in (6, 7, 8)] == [1, 1, 3]

    def test_paths_with_spaces(self, root, face):
        (root / "a b.jpg").write_bytes(face())
        (root / "pairs.tsv").write_text("a b.jpg\timages/Bob/Bob_0001.png\t1\n")
        assert sets(build(root, pairs=dict(mine="pairs.tsv"))) == {"mine": ([[0, 1]], [True])}

    @pytest.mark.parametrize("head", ["", "10\t300\n", "2\n"])
    def test_pairs_of_lfw(self, root, head):
        (root / "pairs.txt").write_text(f"{head}Ann_A\t2\t1\nAnn_A\t3\tBob\t10\n")
        dataset = build(root, data_prefix="images", pairs=dict(lfw="pairs.txt"))
        assert sets(dataset) == {"lfw": ([[0, 1], [2, 3]], [True, False])}
        assert [shade(dataset[n]["inputs"]) for n in range(4)] == [2, 1, 3, 10]


class TestMistakes:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "lists no pairs"),
            ("10 300\n", "lists no pairs"),
            ("a.jpg b.jpg 2\n", r"(?s)1 lines have another form; .*line 1: 'a.jpg b.jpg 2'"),
            ("Ann_A 1 2\na.jpg b.jpg\n", r"(?s)2 lines have another form.*line 1"),
            ("Ann_A 1 9\n", r"(?s)1 of 2 images .* missing .*Ann_A/Ann_A_0009\.jpg"),
            ("Ann_A/x.jpg Ann_A/Ann_A_0001.jpg 1\n", r"(?s)1 of 2 images .*Ann_A/x\.jpg"),
        ],
    )
    def test_lists(self, root, content, message):
        (root / "pairs.txt").write_text(content)
        with pytest.raises(DatasetError, match=message):
            build(root, data_prefix="images", pairs=dict(mine="pairs.txt"))

    def test_images_of_a_bin(self, root, face):
        for broken, message in (
            (face()[:-30], r"a\.bin: image 1 is cut off"),
            (b"text", r"a\.bin: image 1 is not an image"),
            (face(size=96), r"a\.bin: image 1 is 96 x 96, .* 112 x 112"),
        ):
            write_bin(root / "a.bin", [face(), broken], [True])
            with pytest.raises(DatasetError, match=message):
                build(root, bins=["a.bin"])

    def test_names(self, root):
        with pytest.raises(DatasetError, match="another set of the name 'lfw'"):
            build(root, bins=["lfw.bin", "./lfw.bin"])
        with pytest.raises(DatasetError, match="neither bins nor pairs"):
            build(root)
        with pytest.raises(DatasetError, match=r"cfp_fp\.bin cannot be read"):
            build(root, bins=["cfp_fp.bin"])


def test_a_look_through(root, tmp_path):
    (root / "pairs.txt").write_text("Ann_A 1 2\nAnn_A 1 Bob 10\nAnn_A 1 3\n")
    dataset = build(root, data_prefix="images", bins=["lfw.bin"], pairs=dict(mine="pairs.txt"))
    done = check_split("val", dataset, tmp_path / "val")
    assert done.usable
    counts = (tmp_path / "val_labels.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1:3] for line in counts] == [
        ["lfw: two persons", "1"],
        ["lfw: one person", "2"],
        ["mine: two persons", "1"],
        ["mine: one person", "2"],
    ]
    height, width = dataset.picture(7).shape[:2]
    assert width == 2 * height
    (root / "images" / "Bob" / "Bob_0010.png").write_bytes(b"")
    assert "Bob_0010.png is empty" in dataset.examine(8).problems[0]
