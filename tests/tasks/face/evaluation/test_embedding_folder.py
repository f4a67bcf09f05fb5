from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.face.evaluation.embedding_folder import EmbeddingFolder
from tasks.face.evaluation.embedding_output import (
    EmbeddingOutputError,
    RowWriter,
    check_output,
    publish,
    scratch_folder,
)

NAMES = ["ann/1.jpg", "ann/2 with blanks.jpg", "bö/ü.png", "d.jpg", " e.jpg"]


def rows(count=5, dim=3):
    return np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)


def write(path, embeddings, names, force=False, **about):
    with scratch_folder(path, force) as scratch:
        writer = RowWriter(Path(scratch), names)
        writer.write(np.arange(len(names)), embeddings)
        writer.close()
        publish(Path(scratch), path, names, about, force)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "made" / "out", rows(), NAMES, config="c.py", flip=True)
    return tmp_path / "made" / "out"


class TestRoundTrip:
    def test_what_was_written_is_read(self, folder):
        opened = EmbeddingFolder.open(str(folder))
        assert isinstance(opened.embeddings, np.memmap)
        assert opened.embeddings.dtype == np.float32
        assert np.array_equal(opened.embeddings, rows())
        assert opened.names == NAMES
        assert opened.about == {"config": "c.py", "flip": True, "count": 5, "dim": 3}
        with pytest.raises(ValueError, match="read-only"):
            opened.embeddings[0] = 0
        assert [path.name for path in folder.parent.iterdir()] == ["out"]
        assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777

    def test_plain_numpy_reads_the_file(self, folder):
        assert np.array_equal(np.load(folder / "embeddings.npy"), rows())

    def test_writers_share_a_file_in_any_order(self, tmp_path):
        embeddings, path = rows(11), tmp_path / "out"
        names = [f"{index}.jpg" for index in range(11)]
        with scratch_folder(path) as scratch:
            writers = [RowWriter(Path(scratch), names) for _ in range(3)]
            for indices, writer in (([9, 3, 4], 0), ([1, 2], 1), ([0, 5, 10, 6], 2), ([8, 7], 1)):
                writers[writer].write(np.array(indices), embeddings[indices])
            for writer in writers:
                writer.close()
            publish(Path(scratch), path, names, {})
        assert np.array_equal(EmbeddingFolder.open(path).embeddings, embeddings)

    def test_names_that_are_not_utf8(self, tmp_path):
        names = ["caf\udce9.jpg"]
        write(tmp_path / "out", rows(1), names)
        assert EmbeddingFolder.open(tmp_path / "out").names == names

    def test_lists_made_by_hand_may_lack_the_last_newline(self, folder):
        (folder / "names.txt").write_text("\n".join(NAMES))
        assert EmbeddingFolder.open(folder).names == NAMES


class TestReading:
    def test_no_folder(self, tmp_path):
        with pytest.raises(DatasetError, match=r"is not a folder; tools/extract_embeddings.py"):
            EmbeddingFolder.open(tmp_path / "nowhere")

    @pytest.mark.parametrize("name", ["embeddings.npy", "names.txt", "about.json"])
    def test_a_missing_file(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(DatasetError, match=f"has no {name}"):
            EmbeddingFolder.open(folder)

    def test_other_counts(self, folder):
        (folder / "names.txt").write_text("a\nb\n")
        with pytest.raises(DatasetError, match=r"5 rows, .*names.txt 2 lines"):
            EmbeddingFolder.open(folder)

    @pytest.mark.parametrize(
        "array",
        [
            rows().astype(np.float64),
            rows().ravel(),
            np.asfortranarray(rows()),
            rows().astype(">f4"),
        ],
    )
    def test_other_arrays(self, folder, array):
        np.save(folder / "embeddings.npy", array)
        with pytest.raises(DatasetError, match=r"it has to be float32 \(images, D\)"):
            EmbeddingFolder.open(folder)

    def test_objects_are_not_unpickled(self, folder, tmp_path):
        class Payload:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "ran",))

        np.save(folder / "embeddings.npy", np.array([Payload()], object), allow_pickle=True)
        with pytest.raises(DatasetError, match=r"is not a whole .npy file of numbers"):
            EmbeddingFolder.open(folder)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello" * 100])
    def test_no_npy_file(self, folder, content):
        (folder / "embeddings.npy").write_bytes(content)
        with pytest.raises(DatasetError, match=r"is not a whole .npy file"):
            EmbeddingFolder.open(folder)

    def test_a_cut_file(self, folder):
        whole = (folder / "embeddings.npy").read_bytes()
        (folder / "embeddings.npy").write_bytes(whole[:-4])
        with pytest.raises(DatasetError, match=r"is not a whole .npy file"):
            EmbeddingFolder.open(folder)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_a_number_in_a_late_row(self, folder, value):
        embeddings = np.zeros((9000, 1024), np.float32)  # more than is looked at at once
        embeddings[1] = 3e38  # a sum that overflows, of entries that do not
        embeddings[8765, 4] = value
        np.save(folder / "embeddings.npy", embeddings)
        (folder / "names.txt").write_text("".join(f"{row}.jpg\n" for row in range(9000)))
        with pytest.raises(DatasetError, match=r"row 8765, the embedding of 8765.jpg, holds NaN"):
            EmbeddingFolder.open(folder)

    @pytest.mark.parametrize(("text", "error"), [("{", "is not JSON"), ("[1]", "holds list")])
    def test_about(self, folder, text, error):
        (folder / "about.json").write_text(text)
        with pytest.raises(DatasetError, match=error):
            EmbeddingFolder.open(folder)


class TestWriting:
    def test_an_error_leaves_nothing(self, tmp_path):
        embeddings = rows()
        embeddings[3, 1] = np.nan
        with pytest.raises(DatasetError, match=r"the embedding of d.jpg \(image 3\) holds NaN"):
            write(tmp_path / "out", embeddings, NAMES)
        assert list(tmp_path.iterdir()) == []

    def test_lengths_that_differ(self, tmp_path):
        writer = RowWriter(tmp_path, NAMES)
        writer.write(np.array([0, 1]), rows(2, 3))
        with pytest.raises(DatasetError, match=r"bö/ü.png \(image 2\) has 4 numbers, others 3"):
            writer.write(np.array([2]), rows(1, 4))

    @pytest.mark.parametrize("index", [-1, 5])
    def test_an_index_of_another_set(self, tmp_path, index):
        with pytest.raises(DatasetError, match=f"image {index} of 5"):
            RowWriter(tmp_path, NAMES).write(np.array([index]), rows(1))

    def test_a_name_of_two_lines(self, tmp_path):
        with pytest.raises(DatasetError, match="a name is one line"):
            write(tmp_path / "out", rows(1), ["a\nb"])
        assert list(tmp_path.iterdir()) == []

    def test_what_stands_there_is_replaced_by_force_alone(self, folder):
        with pytest.raises(EmbeddingOutputError, match="--force to replace it"):
            write(folder, rows(1), ["new.jpg"])
        assert EmbeddingFolder.open(folder).names == NAMES
        write(folder, rows(1), ["new.jpg"], force=True)
        assert EmbeddingFolder.open(folder).names == ["new.jpg"]
        assert [path.name for path in folder.parent.iterdir()] == ["out"]

    def test_another_folder_is_never_replaced(self, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "about.json").write_text(json.dumps({}))
        with pytest.raises(EmbeddingOutputError, match="not a folder of embeddings"):
            check_output(tmp_path / "thesis", force=True)

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(EmbeddingOutputError, match="cannot be written"):
            scratch_folder(tmp_path / "file" / "out")
