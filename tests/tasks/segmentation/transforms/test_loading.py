from __future__ import annotations

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from PIL import Image

import tasks.segmentation  # noqa: F401  registers the transform
from tasks.data_checks import DatasetError
from tests.tasks.segmentation.conftest import write_label

VALUES = np.resize([0, 1, 2, 255], (4, 6))


def sample(path, **changes):
    info = {"seg_map_path": str(path), "num_classes": 3, "reduce_zero_label": False}
    return info | {"seg_fields": [], "label_map": None, "ori_shape": (4, 6)} | changes


def load(path, options=None, **changes):
    transform = TRANSFORMS.build({"type": "LoadSegLabelChecked", **(options or {})})
    return transform(sample(path, **changes))


@pytest.fixture
def label(tmp_path):
    write_label(tmp_path / "1.png", VALUES)
    return tmp_path / "1.png"


@pytest.mark.parametrize("backend", ["pillow", "cv2"])
def test_right_labels(label, backend) -> None:
    results = load(label, {"imdecode_backend": backend})
    np.testing.assert_array_equal(results["gt_seg_map"], VALUES)
    assert results["gt_seg_map"].dtype == np.uint8
    assert results["seg_fields"] == ["gt_seg_map"]
    mapped = load(label, label_map={0: 1, 1: 255, 2: 0})["gt_seg_map"]
    np.testing.assert_array_equal(mapped, np.resize([1, 255, 0, 255], (4, 6)))


@pytest.mark.parametrize(("num_classes", "fits"), [(254, True), (253, False)])
@pytest.mark.parametrize("reduce_zero_label", [False, True])
def test_limits(tmp_path, num_classes, fits, reduce_zero_label) -> None:
    path = tmp_path / "1.png"
    write_label(path, np.resize([0, 254 if reduce_zero_label else 253], (4, 6)))
    changes = {"num_classes": num_classes, "reduce_zero_label": reduce_zero_label}
    if fits:
        expected = [253, 255] if reduce_zero_label else [0, 253]
        assert np.unique(load(path, **changes)["gt_seg_map"]).tolist() == expected
        return
    with pytest.raises(DatasetError, match=rf"{path} has the value 25[34]; its values are"):
        load(path, **changes)


def test_wrong_values(label) -> None:
    with pytest.raises(DatasetError, match=rf"{label} has the value 2; its values are 0 to 1 for"):
        load(label, num_classes=2)
    with pytest.raises(DatasetError, match="has the value 2; its values are 1 to 1 for the class"):
        load(label, num_classes=1, reduce_zero_label=True)


def test_255_is_ignored_beside_0(label) -> None:
    seg_map = load(label, reduce_zero_label=True)["gt_seg_map"]
    np.testing.assert_array_equal(seg_map, np.resize([255, 0, 1, 255], (4, 6)))


def test_other_size_than_the_image_before_resizing(label) -> None:
    assert load(label, img_shape=(8, 12))["gt_seg_map"].shape == (4, 6)
    with pytest.raises(DatasetError, match=rf"{label} is 6 x 4, its image 4 x 6"):
        load(label, ori_shape=(6, 4))


@pytest.mark.parametrize("cut", [0, 10, 40])
def test_damaged(label, cut) -> None:
    label.write_bytes(label.read_bytes()[:cut])
    with pytest.raises(DatasetError, match=rf"{label} is (empty|cut off)"):
        load(label)


def test_whole_file_that_cannot_be_decoded(label) -> None:
    content = bytearray(label.read_bytes())
    start = content.index(b"IDAT") + 4
    content[start : start + 8] = b"\xff" * 8
    label.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{label} cannot be decoded"):
        load(label)


@pytest.mark.parametrize("backend", ["pillow", "cv2"])
@pytest.mark.parametrize(
    ("mode", "kind", "form"),
    [
        ("RGB", "PNG", "PNG file with RGB pixels"),
        ("I;16", "PNG", "PNG file with 16-bit grey pixels"),
        ("I", "TIFF", "TIFF file with 32-bit grey pixels"),
        ("L", "JPEG", "JPEG file, which mixes the numbers of neighbouring pixels"),
    ],
)
def test_other_forms(label, backend, mode, kind, form) -> None:
    Image.new(mode, (6, 4)).save(label, kind)
    message = rf"{label} is a {form}; a label is a PNG file with one channel of 8 bits or a palette"
    with pytest.raises(DatasetError, match=message):
        load(label, {"imdecode_backend": backend})


def test_decoder_that_colours_palettes(label) -> None:
    image = Image.fromarray(VALUES.astype(np.uint8))
    image.putpalette(bytes(range(256)) * 3)
    image.save(label)
    np.testing.assert_array_equal(load(label)["gt_seg_map"], VALUES)
    with pytest.raises(DatasetError, match=r"cv2 decodes it; imdecode_backend='pillow' leaves"):
        load(label, {"imdecode_backend": "cv2"})


def test_no_image(label) -> None:
    label.write_text("<html>not found</html>")
    with pytest.raises(DatasetError, match=rf"{label} is not an image"):
        load(label)


@pytest.mark.parametrize(("values", "hint"), [([0, 19], False), ([0, 19, 33], True)])
def test_hint_at_label_ids(tmp_path, values, hint) -> None:
    path = tmp_path / "1_gtFine_labelTrainIds.png"
    write_label(path, np.resize(values, (4, 6)))
    with pytest.raises(DatasetError, match="has the value") as error:
        load(path, num_classes=19)
    assert ("these look like gtFine_labelIds" in str(error.value)) is hint


@pytest.mark.filterwarnings("ignore:`reduce_zero_label` will be deprecated")
def test_other_reduction_than_the_data_set(label) -> None:
    with pytest.raises(ValueError, match="has reduce_zero_label=True, the data set False; leave"):
        load(label, {"reduce_zero_label": True})
