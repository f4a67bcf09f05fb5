"""Folders that take the place of others, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from normlib.checkpoint.saving import put_in_place, replacing_folder


def content(folder: Path) -> list[str]:
    return sorted(path.read_text() for path in folder.iterdir())


def write(path: Path, text: str) -> None:
    with replacing_folder(path) as scratch:
        (scratch / "file").write_text(text)


def write_nowhere(path: Path) -> None:
    with replacing_folder(path) as scratch:
        (scratch / "file").write_text("two")
        (scratch / "none" / "file").write_text("three")


def test_a_new_folder_and_one_in_its_place(tmp_path):
    path = tmp_path / "above" / "folder"
    for text in ("one", "two"):
        write(path, text)
        assert content(path) == [text]
    assert [entry.name for entry in path.parent.iterdir()] == ["folder"]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "folder"
    write(path, "one")
    with pytest.raises(FileNotFoundError):
        write_nowhere(path)
    assert content(path) == ["one"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_an_old_folder_comes_back_where_the_new_one_cannot_be_renamed(tmp_path):
    path = tmp_path / "folder"
    write(path, "one")
    with pytest.raises(OSError, match="missing"):
        put_in_place(tmp_path / "missing", path, tmp_path / "aside")
    assert content(path) == ["one"]
    assert not (tmp_path / "aside").exists()
