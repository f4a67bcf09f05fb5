"""The file of ratios: what is written is read, and nothing that was written is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from normlib.analysis.ratio_file import RatioWriter, read_ratios
from normlib.analysis.ratio_record import RatioRecordError, flat_size
from tests.normlib.analysis.ratio_records import LAYERS, layer

SIZE = flat_size(LAYERS)


def flat(iteration: int) -> np.ndarray:
    return np.arange(SIZE, dtype=np.float32) + iteration


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ratios.bin"


def write(path, *iterations: int, start: int = 0, layers=LAYERS, max_iters: int = 40):
    writer = RatioWriter(path, layers, max_iters, start)
    for iteration in iterations:
        writer.append(iteration, flat(iteration)[: flat_size(layers)])
    return writer


def iterations_in(path) -> list[int]:
    return read_ratios(path).iterations.tolist()


class TestReading:
    def test_what_was_written(self, path):
        write(path, 0, 20, 40)
        record = read_ratios(path)
        assert record.layers == LAYERS
        assert record.iterations.tolist() == [0, 20, 40]
        assert record.max_iters == 40
        assert record.means.shape == record.variances.shape == (3, 4, 3)
        assert record.means[1, 0].tolist() == [20, 21, 22]
        assert record.variances[1, 0].tolist() == [31, 32, 33]
        # The last layer has no instance statistics.
        assert record.means[0, 3].tolist() == [0, 9, 10]
        assert record.variances[0, 3].tolist() == [0, 20, 21]

    def test_a_work_directory(self, path):
        write(path, 0)
        assert iterations_in(path.parent) == [0]

    @pytest.mark.parametrize("cut", [1, 7, 8, 40])
    def test_a_last_record_that_is_cut_short_is_left_out(self, path, cut):
        write(path, 0, 20, 40)
        path.write_bytes(path.read_bytes()[:-cut])
        assert iterations_in(path) == [0, 20]

    def test_the_numbers_are_little_endian(self, path):
        write(path, 3)
        record = path.read_bytes().partition(b"\n")[2]
        assert len(record) == 8 + 4 * SIZE
        assert int.from_bytes(record[:8], "little") == 3


class TestErrors:
    def test_missing(self, path):
        with pytest.raises(RatioRecordError, match=r"ratios\.bin does not exist; a training"):
            read_ratios(path)

    @pytest.mark.parametrize(
        "content", [b"PK\x03\x04", b"{}\n", b"\n", b"\x00" * 100, b'{"epoch": 1}\n']
    )
    def test_foreign(self, path, content):
        path.write_bytes(content)
        with pytest.raises(RatioRecordError, match="is no record of ratios"):
            read_ratios(path)

    @pytest.mark.parametrize("length", [0, 5, 30, 100])
    def test_cut_short_in_the_first_line(self, path, length):
        write(path, 0)
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(RatioRecordError, match=rf"cut short .* \({length} bytes\)"):
            read_ratios(path)

    @pytest.mark.parametrize("cut", [1, 8 + 4 * SIZE])
    def test_cut_short_in_the_first_record(self, path, cut):
        write(path, 0)
        path.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(RatioRecordError, match=r"bin holds no ratios: it ends before its"):
            read_ratios(path)

    def test_a_newer_format(self, path):
        path.write_bytes(b'{"normlib_ratios": 2, "something": "else"}\n\x00\x01')
        with pytest.raises(RatioRecordError, match="format 2, from a newer version of normlib"):
            read_ratios(path)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("layers", []),
            ("layers", [{"name": "a"}]),
            ("layers", None),
            ("max_iters", "many"),
            ("normlib_ratios", "1"),
        ],
    )
    def test_a_header_that_makes_no_sense(self, path, key, value):
        write(path, 0)
        header, _, records = path.read_bytes().partition(b"\n")
        path.write_bytes(json.dumps(json.loads(header) | {key: value}).encode() + b"\n" + records)
        with pytest.raises(RatioRecordError, match=r"ratios\.bin is damaged: "):
            read_ratios(path)

    def test_a_header_that_is_nested_without_end(self, path):
        path.write_bytes(b'{"normlib_ratios": 1, "layers": ' + b"[" * 200_000 + b"\n")
        with pytest.raises(RatioRecordError, match=r"ratios\.bin is damaged: "):
            read_ratios(path)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("normalizers", ["bn", "in"]),
            ("normalizers", 3),
            ("name", 5),
            ("part", "\x01"),
            ("stride", "x"),
        ],
    )
    def test_a_layer_that_makes_no_sense(self, path, key, value):
        write(path, 0)
        header, _, records = path.read_bytes().partition(b"\n")
        content = json.loads(header)
        content["layers"][0][key] = value
        path.write_bytes(json.dumps(content).encode() + b"\n" + records)
        with pytest.raises(RatioRecordError, match=r"ratios\.bin is damaged: "):
            read_ratios(path)

    def test_records_out_of_order(self, path):
        write(path, 0, 20)
        header, _, records = path.read_bytes().partition(b"\n")
        path.write_bytes(header + b"\n" + records[len(records) // 2 :] * 2)
        with pytest.raises(RatioRecordError, match="its iterations do not ascend"):
            read_ratios(path)


class TestGoingOn:
    def test_after_the_resumed_iteration(self, path):
        write(path, 0, 10, 20, 30)
        writer = write(path, 20, 30, 40, start=20)
        assert writer.set_aside is None
        assert iterations_in(path) == [0, 10, 20, 30, 40]

    def test_between_two_moments(self, path):
        write(path, 0, 10, 20, 30)
        write(path, start=15)
        assert iterations_in(path) == [0, 10]

    @pytest.mark.parametrize("cut", [1, 8 + 4 * SIZE])
    def test_after_a_first_record_that_was_cut_short(self, path, cut):
        write(path, 0)
        path.write_bytes(path.read_bytes()[:-cut])
        assert write(path, 0, 10).set_aside is None
        assert iterations_in(path) == [0, 10]

    def test_after_a_record_that_was_cut_short(self, path):
        write(path, 0, 10, 20)
        path.write_bytes(path.read_bytes()[:-3])
        write(path, 20, 30, start=20)
        record = read_ratios(path)
        assert record.iterations.tolist() == [0, 10, 20, 30]
        assert record.means[3, 0].tolist() == [30, 31, 32]

    def test_to_a_later_end(self, path):
        write(path, 0, 40)
        write(path, 80, start=40, max_iters=80)
        assert iterations_in(path) == [0, 40, 80]
        assert read_ratios(path).max_iters == 80

    def test_with_other_receptive_fields(self, path):
        write(path, 0)
        known = [layer("backbone.norm1"), *LAYERS[1:]]
        writer = write(path, 20, start=10, layers=known)
        assert writer.set_aside is None
        assert read_ratios(path).layers[0].receptive_field is None


class TestSettingAside:
    def test_the_record_of_other_layers(self, path):
        write(path, 0, 10)
        writer = write(path, 10, start=10, layers=LAYERS[:2])
        place, why = writer.set_aside
        assert place.name == "ratios-1.bin"
        assert "other layers" in why
        assert iterations_in(place) == [0, 10]
        assert iterations_in(path) == [10]

    def test_the_record_of_a_training_that_is_begun_again(self, path):
        for begun in range(3):
            writer = write(path, 0, 10 + begun)
        assert "earlier training" in writer.set_aside[1]
        names = ("ratios-1.bin", "ratios-2.bin", "ratios.bin")
        assert [iterations_in(path.with_name(n))[1] for n in names] == [10, 11, 12]

    def test_what_cannot_be_read(self, path):
        path.write_bytes(b"something else")
        writer = write(path, 0)
        assert "is no record of ratios" in writer.set_aside[1]
        assert writer.set_aside[0].read_bytes() == b"something else"
        assert iterations_in(path) == [0]
