from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import struct

import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.face.datasets.recordio import RecordFile, RecordWriter

MAGIC = struct.pack("<I", 0xCED7230A)
PAYLOADS = [
    b"",
    b"x",
    b"12345678",
    MAGIC,
    b"abcd" + MAGIC + b"efgh",
    b"a" + MAGIC + b"b",
    MAGIC + MAGIC + b"1234" + MAGIC,
    b"abcd" + MAGIC + b"123",
    b"0" * 21 + MAGIC,
]


@pytest.fixture
def rec(tmp_path):
    path = tmp_path / "a.rec"
    with RecordWriter(path) as writer:
        for key, payload in enumerate(PAYLOADS):
            writer.write(key, float(key) if key % 2 else [key, 1, 0.5], payload)
    return path


def check_all(file):
    assert file.keys.tolist() == list(range(len(PAYLOADS)))
    for key, payload in enumerate(PAYLOADS):
        record = file.read(key)
        assert record.content.tobytes() == payload
        assert file.content(file.position(key)).tobytes() == payload
        assert record.id == key
        assert record.labels.dtype == np.float32
        assert record.labels.tolist() == ([key] if key % 2 else [key, 1, 0.5])


class TestReading:
    def test_what_was_written(self, rec):
        check_all(RecordFile(rec, rec.with_suffix(".idx")))
        check_all(RecordFile(rec))

    def test_the_bytes_of_a_record(self, tmp_path):
        with RecordWriter(tmp_path / "a.rec", tmp_path / "b.idx") as writer:
            writer.write(7, 3.0, b"image")
            writer.write(9, [2.0, 1.0], b"data" + MAGIC + b"end")
        one = struct.pack("<IIIfQQ", 0xCED7230A, 29, 0, 3.0, 7, 0) + b"image\0\0\0"
        # Header and labels are 32 bytes, the image is cut at its magic word.
        two = struct.pack("<IIIfQQ2f", 0xCED7230A, 1 << 29 | 36, 2, 0, 9, 0, 2, 1) + b"data"
        two += struct.pack("<II", 0xCED7230A, 3 << 29 | 3) + b"end\0"
        assert (tmp_path / "a.rec").read_bytes() == one + two
        assert (tmp_path / "b.idx").read_text() == f"7\t0\n9\t{len(one)}\n"

    def test_without_an_index_the_file_is_scanned(self, rec):
        rec.with_suffix(".idx").unlink()
        check_all(RecordFile(rec))

    def test_keys_in_any_order(self, rec):
        idx = rec.with_suffix(".idx")
        idx.write_text("\r\n".join(reversed(idx.read_text().splitlines())))
        check_all(RecordFile(rec))

    def test_a_copy_opens_the_file_again(self, rec):
        pickled = pickle.dumps(RecordFile(rec))
        check_all(pickle.loads(pickled))
        rec.write_bytes(rec.read_bytes() + b"more")
        with pytest.raises(DatasetError, match="has been changed"):
            pickle.loads(pickled)

    @pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    def test_other_processes(self, rec, method):
        file = RecordFile(rec)
        with multiprocessing.get_context(method).Pool(1) as pool:
            for key, payload in enumerate(PAYLOADS):
                assert pool.apply(RecordFile.read, (file, key)).content.tobytes() == payload

    def test_no_such_key(self, rec):
        with pytest.raises(DatasetError, match=r"a\.rec has no record with the key 99; it has 9"):
            RecordFile(rec).read(99)


class TestWriting:
    def test_after_an_error_the_old_files_stay(self, rec):
        before = rec.read_bytes(), rec.with_suffix(".idx").read_bytes()
        with pytest.raises(ValueError, match="key -1"), RecordWriter(rec) as writer:
            writer.write(-1, 0.0, b"new")
        assert (rec.read_bytes(), rec.with_suffix(".idx").read_bytes()) == before
        assert len(list(rec.parent.iterdir())) == 2

    def test_keys(self, tmp_path):
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write(5, 0.0, b"")
            writer.write(3, 0.0, b"")
            for key in (5, 3, -1):
                with pytest.raises(ValueError, match=f"key {key} "):
                    writer.write(key, 0.0, b"")


class TestDamage:
    @pytest.mark.parametrize(
        ("index", "message"),
        [
            ("0 0\n", r"line 1 is '0 0', not 'KEY<tab>OFFSET'"),
            ("0\t0\n1\n", r"line 2 is '1'"),
            ("0\t0\n1\t\n2\t8\n", r"line 2"),
            ("0\t0\n\n1\t8\n", r"line 2 is ''"),
            ("0\t0\n1\t8.5\n", r"line 2"),
            ("0\t0\n-1\t8\n", r"line 2"),
            ("0\t0\nx\t8\n", r"line 2"),
            ("0\t0\t4\n", r"line 1"),
            ("", r"a\.idx is empty"),
            ("0\t0\n0\t8\n", r"1 keys more than once: key 0 for the offsets 0 and 8"),
            ("0\t0\n1\t0\n", r"gives the keys 0 and 1 one offset, 0"),
            ("0\t0\n1\t99999\n", r"1 records beyond the end of .*a\.rec: key 1 at offset 99999"),
            ("0\t2\n", r"no multiples of 4: key 0 at offset 2"),
            ("0\t0\n1\t4\n", r"record 1 at offset 4 begins with 0x0000"),
        ],
    )
    def test_indices(self, rec, index, message):
        rec.with_suffix(".idx").write_text(index)
        with pytest.raises(DatasetError, match=message):
            RecordFile(rec)

    @pytest.mark.parametrize("indexed", [True, False])
    def test_a_file_that_is_cut_off(self, rec, indexed):
        rec.write_bytes(rec.read_bytes()[:-4])
        if not indexed:
            rec.with_suffix(".idx").unlink()
        with pytest.raises(DatasetError, match=r"record 8 at offset \d+ is cut off"):
            RecordFile(rec)

    def test_a_magic_word_in_the_middle(self, rec):
        file = RecordFile(rec)
        content = bytearray(rec.read_bytes())
        offset = int(file.offsets[2])
        content[offset] ^= 1
        rec.write_bytes(content)
        message = rf"a\.rec: record 2 at offset {offset} begins with 0xced7230b"
        with pytest.raises(DatasetError, match=message):
            RecordFile(rec).read(2)
        with pytest.raises(DatasetError, match=message):
            RecordFile(rec).content(2)
        rec.with_suffix(".idx").unlink()
        with pytest.raises(DatasetError, match=message):
            RecordFile(rec)

    def test_more_labels_than_bytes(self, rec):
        content = bytearray(rec.read_bytes())
        content[8:12] = struct.pack("<I", 1000)
        rec.write_bytes(content)
        with pytest.raises(DatasetError, match="record 0 at offset 0 names 1000 labels"):
            RecordFile(rec).content(0)

    def test_missing_and_empty_files(self, tmp_path, rec):
        with pytest.raises(DatasetError, match=r"b\.rec cannot be read"):
            RecordFile(tmp_path / "b.rec")
        with pytest.raises(DatasetError, match=r"b\.idx cannot be read"):
            RecordFile(rec, tmp_path / "b.idx")
        rec.write_bytes(b"")
        with pytest.raises(DatasetError, match=r"a\.rec is empty"):
            RecordFile(rec)

    def test_any_changed_byte_gives_an_error_or_a_record(self, rec):
        content = rec.read_bytes()
        random = np.random.default_rng(0)
        for _ in range(200):
            changed = bytearray(content[: random.integers(1, len(content) + 1)])
            changed[random.integers(len(changed))] = random.integers(256)
            rec.write_bytes(changed)
            with contextlib.suppress(DatasetError):
                file = RecordFile(rec)
                for key in file.keys.tolist():
                    file.read(key)
