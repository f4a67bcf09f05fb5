"""Checkpoints load without running code, and damaged ones say so."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

import normlib.openmmlab  # noqa: F401
from normlib.openmmlab import safe_loading
from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.safe_loading import load_file
from tests.file_server import file_server

VALUES = {
    "float": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">f4"),
    "bool": np.array([True, False]),
    "text": np.array(["a", "bc"]),
    "empty": np.zeros((0, 3), np.int64),
}


class Call:
    """Pickles into a call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def saved(tmp_path):
    def save(value):
        path = tmp_path / "file.pth"
        torch.save(value, path)
        return path

    return save


def renamed(path, old, new):
    """The same file with another name for numpy's package, as another numpy would have written."""
    target = path.with_name("renamed.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            data = source.read(name)
            out.writestr(name, data.replace(old, new) if name.endswith("data.pkl") else data)
    return target


@pytest.mark.parametrize("name", VALUES)
def test_numpy_arrays(name, saved):
    value = VALUES[name]
    loaded = torch.load(saved(value), weights_only=True)
    assert loaded.dtype == value.dtype.newbyteorder("=")
    assert loaded.flags.f_contiguous == value.flags.f_contiguous
    np.testing.assert_array_equal(loaded, value)


@pytest.mark.parametrize("value", [np.float32(0.1), np.int64(-3), np.bool_(True)])
def test_numpy_scalars(value, saved):
    loaded = load_file(saved([value]))[0]
    assert loaded == value
    assert loaded.dtype == value.dtype


@pytest.mark.parametrize(
    ("written", "wanted"),
    [(b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")],
    ids=["numpy 1", "numpy 2"],
)
def test_files_of_either_numpy(written, wanted, saved):
    path = saved({"array": np.arange(3.0), "scalar": np.float64(2.5)})
    with zipfile.ZipFile(path) as file:
        names = file.read(next(n for n in file.namelist() if n.endswith("data.pkl")))
    if wanted not in names:
        path = renamed(path, written, wanted)
    loaded = load_file(path)
    np.testing.assert_array_equal(loaded["array"], np.arange(3.0))
    assert loaded["scalar"] == 2.5


def test_history_buffer_keeps_its_statistics(saved):
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    loaded = load_file(saved({"loss": buffer}))["loss"]
    for name in ("min", "max", "mean", "current"):
        assert loaded.statistics(name) == buffer.statistics(name)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda mark: Call(os.system, f"touch {mark}"), "system"),
        (lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"), "eval"),
        (lambda mark: Call(getattr, torch.Tensor, "numpy"), "getattr"),
        (lambda mark: Call(getattr, HistoryBuffer, "__init__"), "getattr"),
        (lambda mark: Call(pickle.loads, pickle.dumps(Call(open, str(mark), "w"))), "loads"),
        (lambda mark: np.array([{}], dtype=object), "numpy.dtype"),
        (lambda mark: np.zeros(1, [("a", "f4")]), "numpy.dtype"),
    ],
    ids=["system", "eval", "getattr", "getattr of init", "nested", "objects", "records"],
)
@pytest.mark.parametrize("forced", [False, True])
def test_code_is_refused_and_not_run(call, named, forced, saved, tmp_path, monkeypatch):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark = tmp_path / "ran"
    path = saved({"state_dict": {"weight": torch.ones(2)}, "extra": call(mark)})
    with pytest.raises(CheckpointError, match=named) as caught:
        CheckpointLoader.load_checkpoint(str(path), "cpu")
    assert str(path) in str(caught.value)
    assert "is refused" in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_damaged_files_are_named(suffix, damage, tmp_path):
    path = tmp_path / f"epoch_1{suffix}"
    weights = {"weight": torch.randn(100, 10)}
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)
    data = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "cut": data[: len(data) // 2], "text": b"no weights\n" * 9}[damage]
    )
    with pytest.raises(CheckpointError, match="not a readable checkpoint") as caught:
        load_file(path)
    assert str(path) in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_the_beginning_of_a_large_file_is_named(tmp_path):
    path = tmp_path / "epoch_1.pth"
    torch.save({"weight": torch.randn(1000, 1000)}, path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(CheckpointError, match=r"epoch_1\.pth \(20000 bytes\) is not a readable"):
        load_file(path)


def test_files_that_the_disk_does_not_give_are_named(tmp_path, monkeypatch):
    path = tmp_path / "epoch_1.pth"
    torch.save({}, path)

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(CheckpointError, match=r"epoch_1\.pth cannot be read: .*Permission denied"):
        load_file(path)


def test_files_before_torch_1_6(tmp_path):
    weights = {"weight": torch.randn(3)}
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(load_file(tmp_path / "old.pth")["weight"], weights["weight"])


@pytest.mark.parametrize(
    "map_location",
    ["meta", torch.device("meta"), {"cpu": "meta"}],
    ids=["name", "device", "dict"],
)
def test_safetensors_follow_map_location(map_location, tmp_path):
    weights = {"weight": torch.randn(3)}
    safetensors.torch.save_file(weights, tmp_path / "w.safetensors")
    path = str(tmp_path / "w.safetensors")
    assert torch.equal(CheckpointLoader.load_checkpoint(path)["weight"], weights["weight"])
    loaded = CheckpointLoader.load_checkpoint(path, map_location)["weight"]
    assert loaded.device.type == "meta"


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A web server of this machine, the only place of all model zoos."""
    with file_server() as server:
        urls = {"resnet18": server.url("r50.pth"), "detectron/resnet50_gn": server.url("r50.pth")}
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        monkeypatch.setattr(safe_loading, "get_torchvision_models", lambda: urls)
        monkeypatch.setattr(safe_loading, "get_external_models", lambda: urls)
        yield server


@pytest.mark.parametrize(
    "name", ["{url}", "torchvision://resnet18", "open-mmlab://detectron/resnet50_gn"]
)
def test_downloads_are_loaded_safely(name, zoo, saved, tmp_path):
    mark = tmp_path / "ran"
    zoo.content = saved({"weight": Call(os.system, f"touch {mark}")}).read_bytes()
    with pytest.raises(CheckpointError, match="is refused"):
        CheckpointLoader.load_checkpoint(name.format(url=zoo.url("r50.pth")), "cpu")
    assert not mark.exists()


def test_a_download_is_kept(zoo, saved, tmp_path):
    zoo.content = saved({"weight": torch.ones(2)}).read_bytes()
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint(zoo.url("zoo/r50.pth?x=1"), "cpu")
        assert torch.equal(loaded["weight"], torch.ones(2))
    assert zoo.asked == ["/zoo/r50.pth?x=1"]
    assert (tmp_path / "checkpoints" / "r50.pth").is_file()


def test_without_a_network_the_message_says_where_the_file_goes(zoo, tmp_path):
    url = zoo.url("r50.pth")
    zoo.shutdown()
    zoo.server_close()
    with pytest.raises(CheckpointError, match="could not download") as caught:
        CheckpointLoader.load_checkpoint(url, "cpu")
    assert str(tmp_path / "checkpoints" / "r50.pth") in str(caught.value)


@pytest.mark.parametrize("name", ["s3://bucket/a.pth", "petrel://a.pth", "pavi://a"])
def test_places_that_are_not_loaded_from(name):
    with pytest.raises(CheckpointError, match="nothing is loaded; fetch the file"):
        CheckpointLoader.load_checkpoint(name, "cpu")


def test_unknown_zoo_names_and_missing_files(tmp_path):
    with pytest.raises(CheckpointError, match="torchvision://resnet51"):
        CheckpointLoader.load_checkpoint("torchvision://resnet51")
    with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "absent.pth"))
