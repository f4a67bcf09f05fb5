from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.toy_data.folder import FolderError, publish

PARAMETERS = {"set": "text", "lines": 3}


def _generate(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "a.txt").write_text("abc")


def _never(folder: Path) -> None:
    raise AssertionError("generated again")


def test_makes_parents_and_leaves_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "set"
    assert publish(out, PARAMETERS, _generate)
    assert (out / "inner" / "a.txt").read_text() == "abc"
    assert list(out.parent.iterdir()) == [out]


def test_same_set_is_left_as_it_is(tmp_path: Path) -> None:
    publish(tmp_path / "set", PARAMETERS, _generate)
    assert publish(tmp_path / "set", PARAMETERS, _never) is False


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("force", [False, True])
def test_interrupted_work_leaves_no_trace(
    tmp_path: Path, error: BaseException, force: bool
) -> None:
    out = tmp_path / "set"
    if force:
        publish(out, PARAMETERS | {"lines": 2}, _generate)

    def fail(folder: Path) -> None:
        _generate(folder)
        raise error

    with pytest.raises(type(error)):
        publish(out, PARAMETERS, fail, force)
    assert list(tmp_path.iterdir()) == [out] * force
    assert publish(out, PARAMETERS, _generate, force)


def _change_parameters(folder: Path) -> None:
    publish(folder, PARAMETERS | {"lines": 2}, _generate)


def _cut_a_file(folder: Path) -> None:
    publish(folder, PARAMETERS, _generate)
    (folder / "inner" / "a.txt").write_text("ab")


def _lose_a_file(folder: Path) -> None:
    publish(folder, PARAMETERS, _generate)
    (folder / "inner" / "a.txt").unlink()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_change_parameters, "other parameters: .*'lines': 2.* wanted .*'lines': 3.*--force"),
        (_cut_a_file, "has been changed since it was made; --force"),
        (_lose_a_file, "has been changed since it was made; --force"),
    ],
)
def test_another_toy_set_is_replaced_by_force_only(tmp_path: Path, prepare, message: str) -> None:
    out = tmp_path / "set"
    prepare(out)
    with pytest.raises(FolderError, match=message):
        publish(out, PARAMETERS, _never)
    assert publish(out, PARAMETERS, _generate, force=True)
    assert publish(out, PARAMETERS, _never) is False
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("manifest", [None, "not JSON", json.dumps(["parameters"])])
@pytest.mark.parametrize("force", [False, True])
def test_foreign_folder_is_never_touched(tmp_path: Path, manifest: str | None, force: bool) -> None:
    (tmp_path / "precious").write_text("data")
    if manifest is not None:
        (tmp_path / "toy_data.json").write_text(manifest)
    with pytest.raises(FolderError, match="was not made by this command"):
        publish(tmp_path, PARAMETERS, _never, force)
    assert (tmp_path / "precious").read_text() == "data"
