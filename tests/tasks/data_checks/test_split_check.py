from __future__ import annotations

from pathlib import Path

import pytest

from tasks.data_checks import DatasetError
from tasks.data_checks.split_check import check_split
from tests.tasks.data_checks.squares import Squares


def test_report_and_files(tmp_path: Path) -> None:
    stem = tmp_path / "out" / "val"
    bad = check_split("val", Squares(6, marked=[2]), stem, pictures=4)
    names = {"val.png", "val_labels.csv", "val_problems.txt"}
    assert {file.name for file in bad.files} == names
    assert {file.name for file in stem.parent.iterdir()} == names
    assert not bad.usable
    assert bad.text.startswith("val: 6 samples\n")
    # Once mended, nothing speaks of problems any more.
    good = check_split("val", Squares(6), stem, pictures=4)
    assert good.usable
    assert {file.name for file in stem.parent.iterdir()} == names - {"val_problems.txt"}
    assert set(good.files) == set(stem.parent.iterdir())


def test_without_pictures_and_with_a_limit(tmp_path: Path) -> None:
    result = check_split("val", Squares(60, marked=[30]), tmp_path / "v.2", limit=2, pictures=0)
    assert result.usable
    assert "60 samples, 2 of them looked at" in result.text
    assert [file.name for file in tmp_path.iterdir()] == ["v.2_labels.csv"]


def test_nothing_is_written_for_what_cannot_be_looked_through(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="type list"):
        check_split("val", [1], tmp_path / "val")
    assert not list(tmp_path.iterdir())
