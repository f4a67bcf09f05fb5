from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable

import pytest
from mmdet.datasets import CocoDataset
from PIL import Image

from tasks.detection.datasets import CheckedCocoDataset, DatasetError

MASKS = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
]


def test_samples_are_those_of_mmdet(coco_folder) -> None:
    checked = coco_folder.build(pipeline=MASKS)
    config = coco_folder.config(pipeline=MASKS)
    config.pop("type")
    plain = CocoDataset(**config)
    assert isinstance(checked, CheckedCocoDataset)
    assert len(checked) == len(plain) == 2
    for ours, theirs in zip(checked, plain, strict=True):
        assert ours["instances"] == theirs["instances"]
        assert (ours["img"] == theirs["img"]).all()
        assert (ours["gt_masks"].to_ndarray() == theirs["gt_masks"].to_ndarray()).all()
    assert [i["bbox_label"] for i in checked[0]["instances"]] == [0, 1]
    assert checked[1]["gt_ignore_flags"].tolist() == [True]


def test_filter_cfg_is_kept(coco_folder) -> None:
    del coco_folder.content["annotations"][2]
    assert len(coco_folder.build()) == 2
    assert len(coco_folder.build(filter_cfg={"filter_empty_gt": True})) == 1


def test_loaded_set_needs_neither_files_nor_checks_again(coco_folder) -> None:
    dataset = coco_folder.build()
    shutil.rmtree(coco_folder.root)
    copied = pickle.loads(pickle.dumps(dataset))  # as a spawned worker gets it
    copied.full_init()
    assert copied.get_data_info(0) == dataset.get_data_info(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON, or is cut off: .*ends with ''"),
        ('{"images": [{"id": 1, "file', 'is cut off: .*ends with .*"id": 1, "file'),
        ("caf\xe9", "is not JSON: .*utf-8"),
        ("[1, 2]", "is not a COCO annotation file.*the file has: list"),
        ('{"images": [], "shapes": []}', "the file has: images, shapes"),
        (
            '{"images": [{"id": 1}], "annotations": [3], "categories": []}',
            r"1 of 1 images lack one of .*\n +number 0: \{'id': 1\}\n- 1 of 1 annotations lack",
        ),
    ],
)
def test_annotation_file_of_another_form(coco_folder, text: str, message: str) -> None:
    config = coco_folder.config(lazy_init=True)
    config.pop("type")
    dataset = CheckedCocoDataset(**config)
    coco_folder.ann.write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=message) as error:
        dataset.full_init()
    assert str(coco_folder.ann) in str(error.value)


def test_missing_annotation_file_says_what_is_there(coco_folder) -> None:
    with pytest.raises(DatasetError, match=r"instances_x\.json does not exist.*instances_train"):
        coco_folder.build(ann_file="annotations/instances_x.json")


def _set(*path: str | int, to: object) -> Callable[[dict], None]:
    def edit(content: dict) -> None:
        target = content
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = to

    return edit


def _clear(*keys: str) -> Callable[[dict], None]:
    def edit(content: dict) -> None:
        for key in keys:
            content[key] = []

    return edit


def _box(*bbox: object) -> Callable[[dict], None]:
    return _set("annotations", 1, "bbox", to=list(bbox))


NAN = float("nan")
BOX_FORM = r"1 annotations lack a bbox of four finite numbers(.|\n)*annotation 2, image 1 '1\.jpg'"
OUTSIDE = r"1 boxes .* outside (.|\n)*annotation 2, image 1 '1\.jpg' of 40 x 30: bbox "


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("images", 1, "id", to=1), r"1 ids of images occur more than once\n +1"),
        (_set("annotations", 1, "id", to=1), r"1 ids of annotations occur more than once"),
        (_set("categories", 1, "id", to=1), r"1 ids of categories occur more than once"),
        (_set("annotations", 1, "image_id", to=9), "annotation 2: image_id 9"),
        (_set("annotations", 1, "category_id", to=2), "annotation 2: category_id 2"),
        (_set("images", 0, "width", to=0), r"1 of 2 images have a width .*\n.*'1.jpg': 0 x 30"),
        (_set("images", 0, "height", to=None), r"1 of 2 images have a width or height"),
        (_clear("images", "annotations"), "its list of images is empty"),
        (_clear("annotations"), "none of its annotations can be used: there is no annotation"),
        (_box(1, 2, 3), BOX_FORM),
        (_box(1, 2, "3", 4), BOX_FORM),
        (_box(NAN, 2, 3, 4), BOX_FORM),
        (_set("annotations", 1, "area", to=None), BOX_FORM),
        (_box(10, 2, -3, 4), r"1 boxes have a negative width or height\n +annotation 2"),
        (_box(50, 2, 10, 4), OUTSIDE + r"\[50, 2, 10, 4\]"),
        (_box(40, 2, 1, 4), OUTSIDE),  # apart, though by less than the tolerance
        (_box(10, -12, 10, 12), OUTSIDE),
        (_box(-2.5, 2, 10, 4), OUTSIDE),
        (_box(10, 2, 32.5, 4), OUTSIDE),
        (_box(10, 2, 4, 30.5), OUTSIDE),
    ],
)
def test_wrong_content(coco_folder, edit: Callable[[dict], None], message: str) -> None:
    edit(coco_folder.content)
    for test_mode in (False, True):
        with pytest.raises(DatasetError, match=message) as error:
            coco_folder.build(test_mode=test_mode)
        assert str(coco_folder.ann) in str(error.value)


@pytest.mark.parametrize(
    ("given", "corners"),
    [
        ([-1.5, 5, 20, 10], [0, 5, 18.5, 15]),
        ([30, 20, 12, 11], [30, 20, 40, 30]),
        ([-2, -2, 44, 34], [0, 0, 40, 30]),
        ([0, 0, 40, 30], [0, 0, 40, 30]),
    ],
)
def test_box_over_the_border_by_rounding_is_cut(coco_folder, given, corners) -> None:
    coco_folder.content["annotations"][1]["bbox"] = given
    assert coco_folder.build()[0]["instances"][1]["bbox"] == corners


def test_box_tolerance(coco_folder) -> None:
    coco_folder.content["annotations"][1]["bbox"] = [-6, 5, 20, 10]
    assert coco_folder.build(box_tolerance=6)[0]["instances"][1]["bbox"] == [0, 5, 14, 15]
    with pytest.raises(DatasetError, match=r"more than 5\.9 px"):
        coco_folder.build(box_tolerance=5.9)


def test_all_kinds_are_gathered_and_counted(coco_folder) -> None:
    first = coco_folder.content["annotations"][0]
    coco_folder.content["annotations"] = [
        first | {"id": number, "bbox": [-30, 0, 20, 20]} for number in range(1, 8)
    ] + [first | {"id": 8, "bbox": [0, 0, -1, 5]}]
    (coco_folder.img / "2.jpg").unlink()
    with pytest.raises(DatasetError) as error:
        coco_folder.build()
    text = str(error.value)
    assert "7 boxes" in text
    assert "annotation 3," in text
    assert "annotation 4," not in text
    assert "and 4 more" in text
    assert "1 boxes have a negative width" in text
    assert "1 of 2 image files are missing" in text


def test_skipped_annotations_are_allowed_unless_all_are(coco_folder) -> None:
    annotations = coco_folder.content["annotations"]
    annotations[0]["bbox"] = [5, 5, 0.0, 10]  # a few like this exist in COCO
    annotations[1]["area"] = 0
    assert [len(sample["instances"]) for sample in coco_folder.build()] == [0, 1]
    annotations[2]["ignore"] = True
    message = "none of its annotations can be used: 1 box narrower than 1 px, 1 area is 0 or less"
    with pytest.raises(DatasetError, match=message):
        coco_folder.build()


def test_iscrowd_is_needed_by_the_evaluation_only(coco_folder) -> None:
    del coco_folder.content["annotations"][0]["iscrowd"]
    coco_folder.build()
    with pytest.raises(DatasetError, match=r"1 annotations lack iscrowd(.|\n)*annotation 1$"):
        coco_folder.build(test_mode=True)


def test_filter_that_leaves_nothing(coco_folder) -> None:
    with pytest.raises(DatasetError, match=r"filter_cfg=.*'min_size': 64.* none of its 2 images"):
        coco_folder.build(filter_cfg={"min_size": 64})


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "dog", "cow"), "1 of 3 classes in the config are not among .*\n +'cow'"),
        (("cat",), "1 of its 2 categories are not among the classes .*\n +'dog'"),
        (("dog", "cat"), r"another order .*the order has to be \('cat', 'dog'\)"),
        ("cat", r"the text 'cat', not a sequence: .*classes=\('cat',\)"),
    ],
)
def test_classes_that_do_not_fit(coco_folder, classes: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        coco_folder.build(metainfo={"classes": classes})


def test_default_classes_are_those_of_coco(coco_folder) -> None:
    with pytest.raises(DatasetError, match="78 of 80 classes in the config are not among"):
        coco_folder.build(metainfo=None)


def test_unused_categories_on_purpose(coco_folder) -> None:
    outside = coco_folder.content["annotations"][0]  # of an unused category: not looked at
    outside["bbox"] = [-30, 0, 20, 20]
    outside["category_id"] = 1
    coco_folder.content["annotations"][2]["category_id"] = 7
    dataset = coco_folder.build(metainfo={"classes": ("dog",)}, allow_unused_categories=True)
    assert [[i["bbox_label"] for i in sample["instances"]] for sample in dataset] == [[0], [0]]


def test_category_name_twice(coco_folder) -> None:
    coco_folder.content["categories"].append({"id": 9, "name": "cat"})
    with pytest.raises(DatasetError, match="1 category names occur more than once"):
        coco_folder.build()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "no segmentation"),
        (None, "no segmentation"),
        ([[1, 1, 5, 5]], "at least 6 coordinates, it has 4"),
        ([[1, 1, 5, 5, 1, 5, 3]], "odd number"),
        ([[1, 1, 5, NAN, 1, 5]], "not a finite number"),
        ([1, 1, 5, 5, 1, 5], "not a list of polygons"),
        ({"size": [40, 30], "counts": [0, 1200]}, r"of size \[40, 30\], \[30, 40\] is right"),
        ({"size": [30, 40], "counts": [0, 1199]}, "cover 1199 pixels, 1200 is right"),
        ({"size": [30, 40]}, "need a size and counts"),
        ("1 1 5 5", "segmentation is a str, not polygons"),
    ],
)
def test_masks_that_cannot_be_used(coco_folder, segmentation: object, message: str) -> None:
    coco_folder.content["annotations"][1]["segmentation"] = segmentation
    with pytest.raises(DatasetError, match=f"annotation 2, image 1 .*: .*{message}"):
        coco_folder.build(pipeline=MASKS)
    assert len(coco_folder.build()) == 2  # boxes alone do not need them


def test_polygon_with_one_degenerate_part_is_kept(coco_folder) -> None:
    segmentation = coco_folder.content["annotations"][1]["segmentation"]
    whole = coco_folder.build(pipeline=MASKS)[0]["gt_masks"]
    segmentation.append([1, 1, 5, 5])
    assert (coco_folder.build(pipeline=MASKS)[0]["gt_masks"].masks == whole.masks).all()


def test_images_are_checked_and_later_damage_is_found(coco_folder) -> None:
    path = coco_folder.img / "1.jpg"
    dataset = coco_folder.build()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=rf"{path} is cut off"):
        dataset[0]
    with pytest.raises(DatasetError, match=r"1 image files are damaged\n.*1\.jpg is cut off"):
        coco_folder.build()


def test_content_of_a_large_set_is_left_to_the_loading(coco_folder) -> None:
    path = coco_folder.img / "1.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    assert len(coco_folder.build(check_images_up_to=1)) == 2
    path.unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 image files are missing in .*\n +'1\.jpg'"):
        coco_folder.build(check_images_up_to=1)


def test_content_is_not_changed_by_building(coco_folder) -> None:
    before = copy.deepcopy(coco_folder.content)
    config = coco_folder.config()
    pipeline = copy.deepcopy(config["pipeline"])
    coco_folder.build(**config)
    assert coco_folder.content == before
    assert config["pipeline"] == pipeline


def test_images_that_are_not_local_are_left_to_the_loading(coco_folder) -> None:
    prefix = {"img": "http://example.invalid/train/"}
    dataset = coco_folder.build(data_root="", ann_file=str(coco_folder.ann), data_prefix=prefix)
    assert dataset.get_data_info(0)["img_path"] == "http://example.invalid/train/1.jpg"


@pytest.mark.parametrize("flag", ["color_ignore_orientation", "unchanged"])
def test_orientation_is_judged_as_the_pipeline_loads(coco_folder, flag: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = coco_folder.img / "1.jpg"
    Image.open(path).save(path, exif=exif)
    pipeline = [{"type": "LoadImageFromFile", "color_type": flag}]
    assert coco_folder.build(pipeline=pipeline)[0]["img"].shape[:2] == (30, 40)
    with pytest.raises(DatasetError, match=r"1\.jpg is 30 x 40, annotated as 40 x 30 \(turned"):
        coco_folder.build()
