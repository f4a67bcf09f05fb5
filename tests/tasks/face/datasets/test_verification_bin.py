from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct

import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.face.datasets.verification_bin import read_bin, write_bin

IMAGES = [b"one\n'\"\\", b"\xff\xd8two\x00\x80", b"3" * 300, b"four"]
SAME = [True, False]


def read(path, content):
    path.write_bytes(content)
    return read_bin(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lfw.bin"


def check(found):
    assert found.images == IMAGES
    assert all(type(image) is bytes for image in found.images)
    assert found.same.dtype == bool
    assert found.same.tolist() == SAME


def python2_string(data):
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else (
        b"T" + struct.pack("<i", len(data)) + data
    )  # fmt: skip


class TestForms:
    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("image", [bytes, bytearray, lambda i: np.frombuffer(i, np.uint8)])
    @pytest.mark.parametrize(
        "truth",
        [
            list,
            tuple,
            np.array,
            lambda same: [*map(int, same)],
            lambda same: [*map(np.bool_, same)],
            lambda same: [*map(np.int32, same)],
            lambda same: np.array(same, ">i8"),
        ],
    )
    def test_protocols_and_types(self, path, protocol, image, truth):
        stored = [image(content) for content in IMAGES], truth(SAME)
        check(read(path, pickle.dumps(stored, protocol=protocol)))

    def test_a_list_of_both(self, path):
        check(read(path, pickle.dumps([tuple(IMAGES), SAME])))

    def test_python_2_strings_loaded_and_saved_by_python_3(self, path):
        stored = [image.decode("latin-1") for image in IMAGES], SAME
        check(read(path, pickle.dumps(stored)))

    def test_python_2_protocol_2(self, path):
        strings = b"".join(python2_string(image) + b"q" + bytes([n + 2])
                           for n, image in enumerate(IMAGES))  # fmt: skip
        check(read(path, b"\x80\x02]q\x00(" + strings + b"e]q\x01(\x88\x89e\x86q\x09."))

    def test_python_2_protocol_0(self, path):
        lines = b"".join(
            b"S" + repr(image)[1:].encode() + b"\np%d\na" % n for n, image in enumerate(IMAGES, 2)
        )
        check(read(path, b"((lp0\n" + lines + b"(lp1\nI01\naI00\natp9\n."))

    def test_arrays_of_python_2(self, path):
        def array(data):
            return (
                b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I"
                + str(len(data)).encode()
                + b"\ntcnumpy\ndtype\n(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbI00\n"
                + python2_string(data)
                + b"tb"
            )

        arrays = b"".join(map(array, IMAGES))
        check(read(path, b"\x80\x02](" + arrays + b"e](\x88\x89e\x86."))

    def test_what_is_written_is_plain(self, path):
        write_bin(path, IMAGES, SAME)
        check(read_bin(path))
        assert pickle.loads(path.read_bytes(), encoding="bytes") == (IMAGES, SAME)


class Runs:
    def __init__(self, call, *arguments):
        self.state = call, arguments

    def __reduce__(self):
        return self.state


class TestCode:
    @pytest.mark.parametrize("protocol", range(6))
    def test_calls_do_not_run(self, path, protocol):
        mark = path.parent / "mark"
        stored = IMAGES, [True, Runs(os.system, f"touch {mark}")]
        with pytest.raises(DatasetError, match=r"contains code \(`posix\.system` at byte \d+\)"):
            read(path, pickle.dumps(stored, protocol=protocol))
        assert not mark.exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"cos\nsystem\n(S'id'\ntR.", r"`os\.system` at byte 0"),
            (b"(S'id'\nios\nsystem\n.", "`opcode INST` at byte 7"),
            (b"cnumpy\nfromfile\n.", r"`numpy\.fromfile`"),
            (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00rottR.", "the encoding 'rot'"),
            (b"cnumpy\nndarray\n(tR.", "a call of something else"),
            (b"](S'a'\nd(I1\nI2\ndb.", "code"),
            (b"]}b.", "code"),
            (b"]Nb.", "state for a list"),
            (b"\x82\x01.", "`opcode EXT1`"),
            (b"P0\n.", "`opcode PERSID`"),
            (b"(cos\nsystem\nS'id'\no.", "`os.system`"),
            (b"cnumpy\nndarray\n)\x81.", "`opcode NEWOBJ`"),
        ],
    )
    def test_opcodes(self, path, content, message):
        with pytest.raises(DatasetError, match=message):
            read(path, content)


class TestDamage:
    @pytest.mark.parametrize(
        ("stored", "message"),
        [
            ((IMAGES[:3], SAME), "odd number of images, 3"),
            ((IMAGES, [True]), "4 images, which are 2 pairs, but truth values for 1"),
            (([], []), "has no images"),
            (([*IMAGES[:3], b""], SAME), "image 3 is empty"),
            (([*IMAGES[:3], 5], SAME), "image 3 is 5, not the bytes"),
            (([*IMAGES[:3], "\u20ac"], SAME), "image 3 is a text"),
            (([*IMAGES[:3], np.zeros((2, 2), np.uint8)], SAME), "image 3 is an array of uint8"),
            ((IMAGES, [True, 2]), "pair 1 shows one person is 2, not 0 or 1"),
            ((IMAGES, [True, None]), "pair 1 shows one person is something of the type NoneType"),
            (IMAGES, "something of the type list of 4 entries"),
            ((IMAGES, 1), "holds 1 in place of a list"),
            ((IMAGES, np.zeros(2)), "a numpy array of the type 'f8'"),
        ],
    )
    def test_other_content(self, path, stored, message):
        with pytest.raises(DatasetError, match=message) as error:
            read(path, pickle.dumps(stored))
        assert str(path) in str(error.value)

    def test_a_list_that_contains_itself(self, path):
        stored = [[], SAME]
        stored[0] += [stored, stored[0], b"x", b"y"]
        with pytest.raises(DatasetError, match="image 0 is something of the type list"):
            read(path, pickle.dumps(stored))

    @pytest.mark.parametrize("protocol", range(6))
    def test_a_file_that_is_cut_off(self, path, protocol):
        content = pickle.dumps(([np.frombuffer(IMAGES[0], np.uint8), *IMAGES[1:]], SAME), protocol)
        for length in range(len(content)):
            with pytest.raises(DatasetError, match=r"cut off|damaged|empty|holds"):
                read(path, content[:length])

    def test_missing_and_other_files(self, path):
        with pytest.raises(DatasetError, match=r"lfw\.bin cannot be read"):
            read_bin(path)
        with pytest.raises(DatasetError, match="is no pickle"):
            read(path, b"\xff\xd8\xff\xe0")
        with pytest.raises(DatasetError, match="damaged at byte 0"):
            read(path, b"\x8e" + struct.pack("<Q", 2**62) + b"x")

    @pytest.mark.parametrize("protocol", range(6))
    def test_any_changed_bytes(self, path, protocol):
        stored = [np.frombuffer(IMAGES[0], np.uint8), *IMAGES[1:]], [np.bool_(True), False]
        content = pickle.dumps(stored, protocol)
        random = np.random.default_rng(protocol)
        for _ in range(400):
            changed = bytearray(content)
            for at in random.integers(len(content), size=random.integers(1, 4)):
                changed[at] = random.integers(256)
            with contextlib.suppress(DatasetError):
                read(path, bytes(changed))

    def test_writing_needs_pairs(self, path):
        with pytest.raises(DatasetError, match="odd number"):
            write_bin(path, IMAGES[:1], [])
        assert not path.exists()


def test_many_images(path):
    image = os.urandom(2000)
    stream = io.BytesIO()
    pickle.dump(([image + bytes([n % 256]) for n in range(2000)], [True] * 1000), stream)
    assert len(read(path, stream.getvalue()).images) == 2000
