from __future__ import annotations

import json

import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.face.evaluation.megaface.features import open_features, read_feature


def write_feature(path, numbers, shape=None, stride=4, kind=5):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = shape or (len(numbers), 1)
    header = np.array([rows, columns, stride, kind], "<i4").tobytes()
    path.write_bytes(header + np.array(numbers, "<f4").tobytes())


def test_feature_files(tmp_path):
    write_feature(tmp_path / "b" / "2.jpg_net.bin", [0.6, 0.8])
    write_feature(tmp_path / "a" / "1.jpg_net.bin", [0.0, 1.0], (1, 2), stride=8)
    write_feature(tmp_path / "a" / "1.jpg_other.bin", [1.0])
    features = open_features(tmp_path, "_net.bin")
    assert features.names == ["a/1.jpg", "b/2.jpg"]
    np.testing.assert_array_equal(features.embeddings, np.float32([[0, 1], [0.6, 0.8]]))
    with pytest.raises(DatasetError, match=r"no file whose name ends in '_absent.bin'"):
        open_features(tmp_path, "_absent.bin")
    write_feature(tmp_path / "a" / "0_other.bin", [1.0])
    with pytest.raises(DatasetError, match=r"1.jpg_net.bin holds 2 numbers, .*_other.bin 1;"):
        open_features(tmp_path, ".bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:12], "has 12 bytes; a feature file starts with 16"),
        (lambda content: content[:-1], r"has 23 bytes; 2 numbers after the first 16 need 24"),
        (lambda content: content + b"0000", "has 28 bytes; 2 numbers"),
        (lambda content: content[:12] + b"\x06" + content[13:], "1 columns and type 6; a feature"),
        (lambda content: content[:4] + b"\x02" + content[5:], "2 rows, 2 columns and type 5"),
    ],
)
def test_broken_feature_files(tmp_path, change, message):
    path = tmp_path / "1.bin"
    write_feature(path, [0.6, 0.8])
    assert read_feature(path).tolist() == np.float32([0.6, 0.8]).tolist()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetError, match=rf"1.bin .*{message}"):
        read_feature(path)
    path.unlink()
    with pytest.raises(DatasetError, match=r"1.bin cannot be read"):
        read_feature(path)


def test_embedding_folders(tmp_path):
    np.save(tmp_path / "embeddings.npy", np.eye(2, 3, dtype=np.float32))
    (tmp_path / "names.txt").write_text("a/1.jpg\na/2.jpg\n")
    (tmp_path / "about.json").write_text(json.dumps({}))
    for suffix in (None, "_net.bin"):
        features = open_features(tmp_path, suffix)
        assert features.names == ["a/1.jpg", "a/2.jpg"]
        assert isinstance(features.embeddings, np.memmap)
        assert features.source.endswith("embeddings.npy")
