from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.detection.datasets import DatasetError
from tasks.detection.datasets.annotation_file import read_class_names

CATEGORIES = [{"id": 3, "name": "b"}, {"id": 1, "name": "ä"}]


def _write(path: Path, **content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("annotations", [[], [{"attributes": {"categories": ["x"]}, "id": 1}]])
@pytest.mark.parametrize("info", [{}, {"categories": [{"id": 1, "name": "nested"}]}])
def test_names_in_the_order_of_the_file(tmp_path: Path, info: dict, annotations: list) -> None:
    keys = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1}
    path = _write(
        tmp_path / "a.json",
        info=info,
        categories=CATEGORIES,
        images=[],
        annotations=[annotation | keys for annotation in annotations],
    )
    assert read_class_names(path) == ("b", "ä")


@pytest.mark.parametrize("categories", [[], [{"id": 1}], "x", None])
def test_no_categories(tmp_path: Path, categories: object) -> None:
    path = _write(tmp_path / "a.json", images=[], annotations=[], categories=categories)
    with pytest.raises(DatasetError, match="categories"):
        read_class_names(path)


def test_empty_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"{tmp_path} contains: nothing"):
        read_class_names(tmp_path / "b" / "a.json")
    (tmp_path / "a.json").touch()
    with pytest.raises(DatasetError, match=r"a\.json is not JSON"):
        read_class_names(tmp_path / "a.json")
