from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS
from PIL import Image

from tasks.data_checks import DatasetError
from tasks.data_checks.loading import LoadImageChecked, follows_exif, with_checked_loading


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "1.jpg"
    Image.effect_noise((40, 30), 60).convert("RGB").save(path)
    return path


@pytest.mark.parametrize("options", [{}, {"to_float32": True}, {"imdecode_backend": "pillow"}])
def test_loads_as_mmcv_does(image: Path, options: dict) -> None:
    ours = TRANSFORMS.build({"type": "LoadImageChecked", **options})({"img_path": str(image)})
    theirs = LoadImageFromFile(**options)({"img_path": str(image)})
    assert ours.keys() == theirs.keys()
    assert ours["img_shape"] == ours["ori_shape"] == (30, 40)
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    assert ours["img"].dtype == theirs["img"].dtype


def test_cut_off_file(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-80])
    with pytest.raises(DatasetError, match=rf"{image} is cut off"):
        LoadImageChecked()({"img_path": str(image)})


def test_not_an_image(image: Path) -> None:
    image.write_text("<html>not found</html>")
    with pytest.raises(DatasetError, match=rf"{image} is not an image"):
        LoadImageChecked()({"img_path": str(image)})


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.jpg cannot be read"):
        LoadImageChecked()({"img_path": str(tmp_path / "none.jpg")})


def test_other_size_than_annotated(image: Path) -> None:
    sample = {"img_path": str(image), "height": 40, "width": 30}
    with pytest.raises(DatasetError, match=r"is 40 x 30, annotated as 30 x 40"):
        LoadImageChecked()(sample)


def test_ignore_empty_gives_none(image: Path) -> None:
    image.write_bytes(b"")
    assert LoadImageChecked(ignore_empty=True)({"img_path": str(image)}) is None


def test_steps_inside_others_and_in_other_scopes_are_checked_too() -> None:
    checked = {"LoadImageFromFile": "LoadImageChecked", "LoadAnnotations": "LoadLabelChecked"}
    flip = {"type": "RandomFlip", "prob": 1.0}
    steps = (
        {"type": "mmcv.LoadImageFromFile", "to_float32": True},
        {"type": LoadImageFromFile},
        {"type": "TestTimeAug", "transforms": [[flip], [{"type": "LoadAnnotations"}]]},
        str.upper,
    )
    assert with_checked_loading(steps, checked) == [
        {"type": "LoadImageChecked", "to_float32": True},
        {"type": "LoadImageChecked"},
        {"type": "TestTimeAug", "transforms": [[flip], [{"type": "LoadLabelChecked"}]]},
        str.upper,
    ]
    assert steps[0]["type"] == "mmcv.LoadImageFromFile"


@pytest.mark.parametrize(
    ("color_type", "follows"),
    [("color", True), ("color_ignore_orientation", False), ("unchanged", False)],
)
def test_who_follows_exif(color_type: str, follows: bool) -> None:
    assert follows_exif([str.upper, LoadImageChecked(color_type=color_type)]) is follows
