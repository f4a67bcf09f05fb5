from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader

import tasks.face.datasets
import tasks.face.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.data_checks.split_check import check_split
from tasks.face.datasets.recordio import RecordFile, RecordWriter
from tasks.face.transforms import face_collate

ROOT = Path(__file__).parents[4]
PIPELINE = [dict(type="DecodeFace"), dict(type="PackFace")]
SPAWNING = """
import sys
from torch.utils.data import DataLoader
from tasks.face.datasets import FaceRecordDataset
from tasks.face.transforms import face_collate

if __name__ == "__main__":
    pipeline = [dict(type="DecodeFace"), dict(type="PackFace")]
    dataset = FaceRecordDataset(sys.argv[1], pipeline=pipeline, max_undecodable=2)
    list(DataLoader(dataset, 2, num_workers=2, collate_fn=face_collate,
                    multiprocessing_context="spawn"))
    print(*dataset.skipped(), sep="\\n")
"""


def build(rec, **kwargs):
    kwargs = dict(pipeline=PIPELINE) | kwargs
    return DATASETS.build(dict(type="FaceRecordDataset", rec=str(rec), **kwargs))


def labels(dataset):
    return [int(dataset[index]["data_samples"]) for index in range(len(dataset))]


def plain(path, records):
    """A file without records of identities, as im2rec writes."""
    with RecordWriter(path) as writer:
        for key, (label, content) in enumerate(records):
            writer.write(key, label, content)
    return path


class TestLabels:
    def test_identities(self, write_records):
        dataset = build(write_records((2, 3, 1)))
        assert labels(dataset) == [0, 0, 1, 1, 1, 2]
        assert dataset.num_classes == 3
        assert dataset.metainfo == {"classes": ("0", "1", "2")}
        image = dataset[3]["inputs"]
        assert image.shape == (112, 112, 3)
        assert image.dtype == np.uint8
        assert np.abs(image[50, 10].astype(int) - (255, 0, 0)).max() < 20  # red, green, blue
        assert np.abs(image[50, 100].astype(int) - 40).max() < 20

    def test_only_the_first_image_of_an_identity_is_looked_at(self, write_records):
        rec = write_records((2, 3, 1))
        content = bytearray(rec.read_bytes())
        content[int(RecordFile(rec).offsets[4])] ^= 1
        rec.write_bytes(content)
        dataset = build(rec)
        assert len(dataset) == 6
        with pytest.raises(DatasetError, match=r"train\.rec: record 4 at offset"):
            dataset[3]

    @pytest.mark.parametrize("make", [float, lambda n: [n], lambda n: [n, 0.5, 7]])
    def test_without_records_of_identities(self, tmp_path, face, make):
        rec = plain(tmp_path / "a.rec", [(make(n), face()) for n in (3, 0, 3)])
        dataset = build(rec)
        assert labels(dataset) == [3, 0, 3]
        assert dataset.num_classes == 4
        assert build(rec, num_classes=9).num_classes == 9

    def test_identities_with_gaps_between_them(self, tmp_path, face):
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write(0, [6, 8], b"")
            for key, label in enumerate((5, 5, 1, 2, 2), 1):
                writer.write(key, [label, 1], face())
            writer.write(6, [4, 6], b"")
            writer.write(7, [1, 3], b"")
        assert labels(build(tmp_path / "a.rec")) == [5, 5, 1, 2, 2]

    def test_an_image_with_the_magic_word(self, tmp_path, face):
        content = face(suffix=".png") + b"\x0a\x23\xd7\xce" * 3
        dataset = build(plain(tmp_path / "a.rec", [(1.0, content), (0.0, face())]))
        assert labels(dataset) == [1, 0]

    def test_the_log_counts(self, write_records, log):
        build(write_records((2, 3, 1)))
        assert "6 images of 3 identities" in log.text

    def test_names_of_classes_beside_it(self, write_records, tmp_path):
        rec = write_records((1, 1))
        (tmp_path / "classes.txt").write_text("ann\nbob\n")
        assert build(rec).metainfo["classes"] == ("ann", "bob")
        (tmp_path / "classes.txt").write_bytes("a\u2028n\x0bn\r\n".encode())
        assert build(rec).metainfo["classes"] == ("a\u2028n\x0bn", "1")
        assert build(rec, num_classes=3).metainfo["classes"][1:] == ("1", "2")
        (tmp_path / "classes.txt").write_text("ann\nbob\ncid")
        with pytest.raises(DatasetError, match=r"classes\.txt has 3 lines, .* 2 classes"):
            build(rec)


class TestMistakes:
    @pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), [float("inf"), 0]])
    def test_labels(self, tmp_path, face, label):
        rec = plain(tmp_path / "a.rec", [(0.0, face()), (label, face())])
        offset = RecordFile(rec).offsets[1]
        match = rf"a\.rec: record 1 at offset {offset} has the label .*whole numbers"
        with pytest.raises(DatasetError, match=match):
            build(rec)

    def test_labels_beyond_the_classes(self, write_records, tmp_path):
        rec = write_records((1, 1, 1))
        with pytest.raises(DatasetError, match=r"record 3 .*label 2, but num_classes .* 2 classes"):
            build(rec, num_classes=2)
        (tmp_path / "property").write_text("2,112,112")
        with pytest.raises(DatasetError, match="but the file 'property' beside it"):
            build(rec)

    @pytest.mark.parametrize(
        ("text", "message"),
        [("3", "not 'NUM,HEIGHT,WIDTH'"), ("3,224,96", "images are 96 x 224"), ("", "not 'NUM")],
    )
    def test_property(self, write_records, tmp_path, text, message):
        rec = write_records((1, 1, 1))
        (tmp_path / "property").write_text(text)
        with pytest.raises(DatasetError, match=message):
            build(rec)

    @pytest.mark.parametrize(
        ("head", "identity", "message"),
        [
            ([2, 9], [1, 2], r"identities have the keys 2 to 9 \(not included\)"),
            ([2, 3], [1, 3], "record 2 at offset .* images 1 to 3 .*keys of images are 1 to 1"),
            ([2, 3], [2, 1], "gives an identity the images 2 to 1"),
            ([2, 3], 1.0, "images 1 to nan"),
            ([1, 3], [1, 1], "no images"),
        ],
    )
    def test_identities(self, tmp_path, face, head, identity, message):
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write(0, head, b"")
            writer.write(1, [1, 1] if head[0] == 1 else 0.0, b"" if head[0] == 1 else face())
            writer.write(2, identity, b"")
        with pytest.raises(DatasetError, match=message):
            build(tmp_path / "a.rec")

    def test_an_image_of_two_identities(self, tmp_path, face):
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write(0, [3, 5], b"")
            for key in (1, 2):
                writer.write(key, 0.0, face())
            writer.write(3, [1, 3], b"")
            writer.write(4, [2, 3], b"")
        with pytest.raises(DatasetError, match="records 3 and 4 give the image 2 to two identit"):
            build(tmp_path / "a.rec")

    def test_another_size(self, write_records, face):
        dataset = build(write_records((2,), {2: face(size=96)}), max_undecodable=5)
        with pytest.raises(DatasetError, match=r"record 2 is 96 x 96, .*112 x 112; align"):
            dataset[1]


class TestUndecodable:
    def test_it_is_an_error(self, write_records, face):
        dataset = build(write_records((2, 1), {2: face()[:-40]}))
        with pytest.raises(DatasetError, match=r"train\.rec: record 2 is cut off"):
            dataset[1]
        assert dataset.skipped() == []

    def test_the_next_image_takes_its_place(self, write_records, face, log):
        dataset = build(write_records((2, 2), {2: b"text", 3: face()[:-40]}), max_undecodable=2)
        for _ in range(2):
            assert labels(dataset) == [0, 1, 1, 1]
        assert (dataset[1]["inputs"] == dataset[3]["inputs"]).all()
        assert [text.rpartition(" ")[2] for text in dataset.skipped()] == ["2", "3"]
        assert log.text.count("takes its place") == 2

    def test_too_many(self, write_records):
        dataset = build(write_records((2, 2), {2: b"text", 4: b"text"}), max_undecodable=1)
        assert dataset[1]["data_samples"] == 1
        with pytest.raises(DatasetError, match=r"record 4 .* 2 images .* max_undecodable=1"):
            dataset[3]

    def test_the_last_image_and_all_images(self, write_records):
        dataset = build(write_records((2,), {2: b"text"}), max_undecodable=9)
        assert (dataset[1]["inputs"] == dataset[0]["inputs"]).all()
        dataset = build(write_records((2,), {1: b"text", 2: b"text"}), max_undecodable=9)
        with pytest.raises(DatasetError, match="none of 2 images can be decoded"):
            dataset[0]

    def test_workers_count_together(self, write_records):
        dataset = build(write_records((4, 4), {2: b"text", 7: b"text"}), max_undecodable=2)
        loader = DataLoader(dataset, 2, num_workers=2, collate_fn=face_collate)
        found = torch.cat([batch["data_samples"] for batch in loader])
        assert found.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert [text.rpartition(" ")[2] for text in dataset.skipped()] == ["2", "7"]

    @pytest.mark.slow
    def test_spawned_workers_count_together(self, write_records, tmp_path):
        rec = write_records((4, 4), {2: b"text", 7: b"text"})
        # In a process of its own: what spawning leaves behind holds up later forks.
        script = tmp_path / "script.py"
        script.write_text(SPAWNING)
        done = subprocess.run(
            [sys.executable, str(script), str(rec)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-2:] == [f"{rec}: record 2", f"{rec}: record 7"]

    def test_workers_have_one_limit(self, write_records):
        dataset = build(write_records((4, 4), {2: b"text", 7: b"text"}), max_undecodable=1)
        loader = DataLoader(dataset, 4, num_workers=2, collate_fn=face_collate)
        with pytest.raises(DatasetError, match="max_undecodable=1"):
            list(loader)
        assert len(dataset.skipped()) == 2

    def test_a_negative_number(self, write_records):
        with pytest.raises(DatasetError, match="max_undecodable is -1"):
            build(write_records((1,)), max_undecodable=-1)


@pytest.mark.parametrize("workers", [0, 2])
def test_loading(write_records, workers):
    dataset = build(write_records((2, 3)))
    loader = DataLoader(dataset, 2, num_workers=workers, collate_fn=face_collate)
    batches = list(loader)
    assert [len(batch["inputs"]) for batch in batches] == [2, 2, 1]
    for number, batch in enumerate(batches):
        for row, image in enumerate(batch["inputs"]):
            expected = dataset[2 * number + row]["inputs"].transpose(2, 0, 1)
            assert (image.numpy() == expected).all()


def test_a_copy(write_records):
    dataset = build(write_records((2, 1)))
    again = pickle.loads(pickle.dumps(dataset))
    assert (again[2]["inputs"] == dataset[2]["inputs"]).all()


def test_a_look_through(write_records, face, tmp_path):
    images = {2: face()[:-40], 3: face(size=96)}
    dataset = build(write_records((2, 1, 1), images))
    done = check_split("train", dataset, tmp_path / "train")
    assert not done.usable
    assert "2 of 4 samples have problems" in done.text
    assert "record 2 is cut off" in done.text
    assert "record 3 is 96 x 96" in done.text
    assert dataset.examine(3).labels == {2: 1}
    assert dataset.examine(3).size == (112, 112)
    assert dataset.picture(3)[-1, 0].tolist()[2] > 200  # blue, green, red
    with pytest.raises(DatasetError, match="is cut off"):
        dataset.picture(1)


def test_a_report_of_many_identities_is_short(tmp_path, face):
    records = [(float(label), face()) for label in range(60)]
    dataset = build(plain(tmp_path / "a.rec", records), num_classes=85742)
    assert len(check_split("train", dataset, tmp_path / "train").text.splitlines()) < 40
