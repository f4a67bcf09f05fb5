from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS

from tasks.data_checks import DatasetError
from tasks.face.evaluation.alignment import TEMPLATE
from tasks.face.evaluation.embedding_folder import EmbeddingFolder
from tasks.face.evaluation.ijb import report as ijb_report
from tasks.face.evaluation.ijb.meta import find_target, read_faces, read_pairs, read_templates
from tasks.face.evaluation.ijb.protocol import pool, similarities, verify_templates

# Template 10 has image 1 and the two frames of media 7, template 4 has 4, template 12 has 5.
FACES = """\
1.jpg 38.2946 51.6963 73.5318 51.5014 56.0252 71.7366 41.5493 92.3655 70.7299 92.2041 0.5
2.jpg 1 2 3 4 5 6 7 8 9 10 1.000
3.jpg 1 2 3 4 5 6 7 8 9 10 0.5
4.jpg 1 2 3 4 5 6 7 8 9 10 0.9
5.jpg 1 2 3 4 5 6 7 8 9 10 0.9
"""
TEMPLATES = "1.jpg 10 6\n2.jpg 10 7\n3.jpg 10 7\n4.jpg 4 6\n5.jpg 12 6\n"
PAIRS = "10 4 1\n10 12 0\n4 12 0\n12 10 0\n"
EMBEDDINGS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 4, 0], [0, 0, -1]], np.float32)


@pytest.fixture
def meta(tmp_path) -> Path:
    folder = tmp_path / "meta"
    folder.mkdir()
    (folder / "ijbc_name_5pts_score.txt").write_text(FACES)
    (folder / "ijbc_face_tid_mid.txt").write_text(TEMPLATES)
    (folder / "ijbc_template_pair_label.txt").write_text(PAIRS)
    return folder


def embedded(names=("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"), embeddings=EMBEDDINGS):
    return EmbeddingFolder(Path("embedded"), embeddings, list(names), {})


def verify(meta, folder=None, **options):
    lists = (read(meta, "IJBC") for read in (read_faces, read_templates, read_pairs))
    return verify_templates(folder or embedded(), *lists, **options)


class TestLists:
    def test_are_read(self, meta):
        faces = read_faces(meta, "IJBC")
        assert faces.names == ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
        assert faces.landmarks.shape == (5, 5, 2)
        assert faces.landmarks[0] == pytest.approx(TEMPLATE)
        assert faces.landmarks[1].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
        assert faces.scores == pytest.approx([0.5, 1, 0.5, 0.9, 0.9])
        templates = read_templates(meta, "IJBC")
        assert templates.names == faces.names
        assert templates.templates.tolist() == [10, 10, 10, 4, 12]
        assert templates.media.tolist() == [6, 7, 7, 6, 6]
        pairs = read_pairs(meta, "IJBC")
        assert pairs.templates.tolist() == [[10, 4], [10, 12], [4, 12], [12, 10]]
        assert pairs.same.tolist() == [True, False, False, False]

    def test_the_set_is_found(self, meta):
        assert find_target(meta) == "IJBC"
        assert find_target(meta, "IJBB") == "IJBB"
        (meta / "ijbb_name_5pts_score.txt").write_text(FACES)
        with pytest.raises(DatasetError, match="lists of IJBB and IJBC"):
            find_target(meta)
        with pytest.raises(DatasetError, match="neither IJBB nor IJBC"):
            find_target(meta.parent)

    def test_a_missing_list(self, meta):
        (meta / "ijbc_face_tid_mid.txt").unlink()
        with pytest.raises(DatasetError, match=r"ijbc_face_tid_mid.txt does not exist"):
            read_templates(meta, "IJBC")

    @pytest.mark.parametrize(
        ("read", "name", "text", "error"),
        [
            (read_faces, "name_5pts_score", FACES[:-5], "line 5 has 11 fields; a line is an image"),
            (read_faces, "name_5pts_score", FACES.replace("1.000", "x"), "line 2: .*'x'"),
            (read_faces, "name_5pts_score", FACES.replace("1.000", "nan"), "line 2: .*finite"),
            (read_faces, "name_5pts_score", "", "is empty"),
            (read_templates, "face_tid_mid", "1.jpg 1\n", "line 1 has 2 fields"),
            (read_templates, "face_tid_mid", "1.jpg 1 2\n2.jpg 1 b\n", "line 2: 1 and b are to"),
            (read_pairs, "template_pair_label", "1 2 1\n3 4\n", "two templates and 0 or 1"),
            (read_pairs, "template_pair_label", "1 2\n", "has 2 columns"),
            (read_pairs, "template_pair_label", "1 2 1\n3 4 2\n", "line 2: .*3 and 4 is 2"),
            (read_pairs, "template_pair_label", "1 2 one\n", "two templates and 0 or 1"),
            (read_pairs, "template_pair_label", "", "is empty"),
        ],
    )
    def test_broken_lines(self, meta, read, name, text, error):
        (meta / f"ijbc_{name}.txt").write_text(text)
        with pytest.raises(DatasetError, match=rf"ijbc_{name}.txt.*{error}"):
            read(meta, "IJBC")


class TestPooling:
    def test_by_hand(self):
        found = pool(
            EMBEDDINGS,
            np.arange(5),
            np.array([10, 10, 10, 4, 12]),
            np.array([6, 7, 7, 6, 6]),
            np.array([0.5, 1, 0.5, 0.9, 0.9]),
        )
        assert found.numbers.tolist() == [4, 10, 12]
        # Template 10: 0.5 x + (1 y + 0.5 z) / 2.
        ten = np.array([0.5, 0.5, 0.25]) / 0.75
        assert found.embeddings == pytest.approx(np.array([[0.6, 0.8, 0], ten, [0, 0, -1]]))
        assert found.embeddings.dtype == np.float32

    def test_without_weights(self):
        found = pool(EMBEDDINGS, np.arange(3), np.ones(3, int), np.array([6, 7, 7]))
        assert found.embeddings[0] == pytest.approx(np.array([1, 0.5, 0.5]) / np.sqrt(1.5))

    def test_against_loops_in_any_order_and_many_blocks(self):
        random = np.random.default_rng(0)
        count = 40_000
        embeddings = random.standard_normal((500, 4)).astype(np.float32)
        rows, templates = random.integers(500, size=count), random.integers(900, size=count)
        media, weights = random.integers(20, size=count), random.random(count)
        found = pool(embeddings, rows, templates, media, weights)
        assert found.numbers.tolist() == sorted(set(templates.tolist()))
        for place in (0, 17, 500, -1):
            total = np.zeros(4)
            for one in set(media.tolist()):
                lines = np.flatnonzero((templates == found.numbers[place]) & (media == one))
                if len(lines):
                    weighted = [weights[line] * embeddings[rows[line]] for line in lines]
                    total += np.mean(weighted, axis=0)
            expected = total / np.linalg.norm(total)
            assert found.embeddings[place] == pytest.approx(expected, abs=1e-6)

    def test_similarities_of_many_pairs(self):
        random = np.random.default_rng(0)
        pooled = pool(
            random.standard_normal((30, 4)).astype(np.float32),
            np.arange(30),
            np.arange(30) * 3,
            np.zeros(30, int),
        )
        pairs = random.integers(30, size=(10_000, 2))
        calls = []
        scores = similarities(pooled, pairs * 3, lambda *call: calls.append(call))
        one, other = pooled.embeddings[pairs[:, 0]], pooled.embeddings[pairs[:, 1]]
        assert scores == pytest.approx((one * other).sum(1), abs=1e-6)
        assert calls[-1] == (10_000, 10_000)
        with pytest.raises(DatasetError, match=r"pair 2 \(from 1\) names template 4, which no"):
            similarities(pooled, np.array([[0, 3], [3, 4]]))


class TestProtocol:
    def test_by_hand(self, meta):
        result = verify(meta, fars=(0.1, 0.34, 1))
        # 10 and 4: (0.5 * 0.6 + 0.5 * 0.8) / 0.75; 10 and 12, twice: -0.25 / 0.75; 4 and 12: 0.
        assert [point.tar for point in result.points] == [None, 1, 1]
        assert result.points[1].threshold == pytest.approx(-1 / 3)
        assert result.curve.tar.tolist() == [1, 1, 1]
        assert (result.curve.genuine, result.curve.impostors) == (1, 3)
        assert (result.images, result.templates) == (5, 3)

    def test_embeddings_are_found_by_name(self, meta):
        order = [3, 0, 4, 2, 1]
        names = [f"{place + 1}.jpg" for place in order] + ["other.jpg"]
        more = np.concatenate([EMBEDDINGS[order], np.full((1, 3), 7, np.float32)])
        found = verify(meta, embedded(names, more), fars=(0.34,))
        assert found.points == verify(meta, fars=(0.34,)).points

    def test_the_detector_score_counts_on_request(self, meta):
        point = verify(meta, fars=(0.34,), detector_score=False).points[0]
        # Template 10 is now x + (y + z) / 2.
        assert point.threshold == pytest.approx(-0.5 / np.sqrt(1.5))

    def test_images_that_are_missing(self, meta):
        with pytest.raises(DatasetError, match=r"no embedding of 2.jpg, and 2 of 5 images"):
            verify(meta, embedded(["1.jpg", "x/2.jpg", "y", "4.jpg", "5.jpg"]))
        (meta / "ijbc_name_5pts_score.txt").write_text(FACES.replace("3.jpg", "6.jpg"))
        with pytest.raises(DatasetError, match=r"no line of 3.jpg, and 1 images"):
            verify(meta)

    def test_names_that_are_double(self, meta):
        with pytest.raises(DatasetError, match=r"several embeddings of 1.jpg"):
            verify(meta, embedded(["1.jpg", "1.jpg", "3.jpg", "4.jpg", "5.jpg"]))


def test_report(meta, tmp_path):
    result = verify(meta, fars=(0.1, 1.0))
    text = ijb_report.table("IJBC", result)
    assert text.startswith("IJBC 1:1, 3 templates of 5 images; 1 genuine and 3 impostor pairs\n")
    assert "1e-01   too few impostor pairs" in text
    files = ijb_report.write("IJBC", result, {"embeddings": "e"}, tmp_path / "out")
    assert [file.name for file in files] == ["results.json", "roc.png"]
    content = json.loads(files[0].read_text())
    assert content["metrics"] == {"tar@far=1e-01": None, "tar@far=1e+00": 100}
    assert content["thresholds"] == {"1e-01": None, "1e+00": None}
    assert (content["impostor_pairs"], content["embeddings"]) == (3, "e")
    assert cv2.imread(str(files[1])) is not None


class TestImages:
    pipeline = [dict(type="DecodeAlignedFace"), dict(type="PackFace")]

    @pytest.fixture
    def images(self, tmp_path) -> Path:
        folder = tmp_path / "loose"
        folder.mkdir()
        image = np.random.default_rng(0).integers(0, 256, (140, 120, 3), np.uint8)
        cv2.imwrite(str(folder / "1.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
        return folder

    def build(self, meta, images):
        return DATASETS.build(
            dict(
                type="FaceLandmarkDataset",
                data_root=str(images),
                meta_dir=str(meta),
                pipeline=self.pipeline,
            )
        )

    def test_are_aligned_and_packed(self, meta, images):
        dataset = self.build(meta, images)
        assert len(dataset) == 5
        assert dataset.metainfo["names"][4] == "5.jpg"
        sample = dataset[0]
        assert sample["data_samples"] == 0
        assert sample["inputs"].shape == (112, 112, 3)
        # The landmarks of the first image are the template's.
        loose = cv2.imread(str(images / "1.jpg"))[:112, :112, ::-1]
        assert np.abs(sample["inputs"].astype(int) - loose).max() <= 1

    def test_mistakes(self, meta, images):
        dataset = self.build(meta, images)
        with pytest.raises(DatasetError, match=r"2.jpg cannot be read"):
            dataset[1]
        (images / "3.jpg").write_bytes((images / "1.jpg").read_bytes()[:-200])
        with pytest.raises(DatasetError, match=r"3.jpg is cut off"):
            dataset[2]
        faces = "4.jpg 5 5 5 5 5 5 5 5 5 5 1\n"
        (meta / "ijbc_name_5pts_score.txt").write_text(faces)
        (images / "4.jpg").write_bytes((images / "1.jpg").read_bytes())
        with pytest.raises(DatasetError, match=r"4.jpg: all landmarks are the same point"):
            self.build(meta, images)[0]
        with pytest.raises(DatasetError, match="is not a folder; it has to hold the images"):
            self.build(meta, images / "none")
