from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from PIL import Image

from tasks.data_checks import DatasetError
from tasks.segmentation.datasets import checked
from tests.tasks.segmentation.conftest import SegFolder, write_image, write_label

PLAIN = {"CheckedADE20KDataset": ADE20KDataset, "CheckedCityscapesDataset": CityscapesDataset}


@pytest.fixture(params=["ade20k", "cityscapes"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What is logged."""
    texts: list[str] = []
    monkeypatch.setattr(checked, "print_log", lambda text, *_: texts.append(text))
    return texts


def add_samples(folder: SegFolder, numbers: range, label: Path) -> None:
    """Add samples to ADE20K, with the first image and a given label."""
    for number in numbers:
        name = f"ADE_train_{number:08d}"
        os.link(folder.images[0], folder.images[0].with_name(f"{name}.jpg"))
        os.link(label, folder.labels[0].with_name(f"{name}.png"))


@pytest.mark.parametrize("subset", [None, ("sky", "wall")])
def test_samples_are_those_of_mmseg(folder, subset) -> None:
    highest = 151 if "ADE" in folder.kind else 19
    for number in range(2):
        folder.write_label(number, [*range(highest), *([] if "ADE" in folder.kind else [255])])
    changes = {"metainfo": {"classes": subset}} if subset else {}
    dataset = folder.build(**changes)
    config = folder.config(**changes)
    plain = PLAIN[config.pop("type")](**config)
    assert dataset.metainfo == plain.metainfo
    assert len(dataset) == len(plain) == 2
    for ours, theirs in zip(dataset, plain, strict=True):
        np.testing.assert_array_equal(ours["img"], theirs["img"])
        np.testing.assert_array_equal(ours["gt_seg_map"], theirs["gt_seg_map"])
        assert theirs.items() >= {k: ours[k] for k in ("img_path", "seg_map_path")}.items()
    assert [(s["width"], s["height"]) for s in dataset] == list(folder.sizes)


def test_loaded_set_needs_no_checks_again(folder) -> None:
    dataset = folder.build(serialize_data=True)
    shutil.rmtree(folder.root)
    copied = pickle.loads(pickle.dumps(dataset))  # as a spawned worker gets it
    copied.full_init()
    assert copied.get_data_info(1) == dataset.get_data_info(1)


def test_list_of_images(ade20k) -> None:
    (ade20k.root / "some.txt").write_text("./ADE_train_00000002\n")
    dataset = ade20k.build(ann_file="some.txt")
    assert [info["width"] for info in map(dataset.get_data_info, range(len(dataset)))] == [24]
    with pytest.raises(DatasetError, match=r"list of images, .*none\.txt', does not exist"):
        ade20k.build(ann_file="none.txt")


def test_labels_are_checked_in_augmented_tests_as_well(ade20k) -> None:
    steps = [[{"type": "LoadAnnotations"}], [{"type": "PackSegInputs"}]]
    tta = [{"type": "LoadImageFromFile"}, {"type": "TestTimeAug", "transforms": steps}]
    dataset = ade20k.build(pipeline=tta)
    assert dataset[0]["data_samples"][0].gt_sem_seg.shape == (30, 40)
    ade20k.write_label(0, [151])
    with pytest.raises(DatasetError, match="has the value 151"):
        dataset[0]


def test_without_labels(ade20k) -> None:
    prefix = {"img_path": "images/training"}
    dataset = ade20k.build(data_prefix=prefix, pipeline=[{"type": "LoadImageFromFile"}])
    assert "gt_seg_map" not in dataset[0]
    assert dataset.examine(0).labels == {}
    assert dataset.examine(0).problems == ()


class TestLayout:
    def test_no_root(self, ade20k) -> None:
        with pytest.raises(DatasetError, match=r"'/no/root' is none .*set ade20k_data\.root to"):
            ade20k.build(data_root="/no/root")

    def test_other_folders(self, cityscapes) -> None:
        (cityscapes.root / "leftImg8bit").rename(cityscapes.root / "left")
        message = (
            r"folder of the images, .*leftImg8bit/train', does not exist; .* holds gtFine/, left/\."
            r" Set cityscapes_data\.root to .*labelTrainIds\.png; or name the folders by train_img"
        )
        with pytest.raises(DatasetError, match=message):
            cityscapes.build()

    def test_folder_of_the_labels(self, ade20k) -> None:
        shutil.rmtree(ade20k.root / "annotations")
        with pytest.raises(DatasetError, match=r"folder of the labels, .*annotations/training'"):
            ade20k.build()

    def test_one_folder_too_high(self, ade20k) -> None:
        message = rf"but it does in {ade20k.root}: set ade20k_data\.root to that"
        with pytest.raises(DatasetError, match=message):
            ade20k.build(data_root=str(ade20k.root.parent))

    def test_no_images_of_the_suffix(self, ade20k) -> None:
        for image in ade20k.images:
            image.rename(image.with_suffix(".JPG"))
        message = (
            r"no image \*\.jpg in .*training or its sub-folders, which has files \*\.JPG; "
            "img_suffix of ade20k_data says which"
        )
        with pytest.raises(DatasetError, match=message):
            ade20k.build()

    def test_empty_folder(self, ade20k) -> None:
        for image in ade20k.images:
            image.unlink()
        with pytest.raises(DatasetError, match="which has no files"):
            ade20k.build()

    def test_missing_label(self, folder) -> None:
        folder.labels[1].unlink()
        message = rf"1 of 2 labels are missing\n +{folder.labels[1]}"
        with pytest.raises(DatasetError, match=message):
            folder.build()

    def test_only_label_ids_of_cityscapes(self, cityscapes) -> None:
        for label in cityscapes.labels:
            label.rename(str(label).replace("labelTrainIds", "labelIds"))
        message = (
            r"2 of 2 labels are missing, while aachen_.*_gtFine_labelIds\.png is there: make those "
            "with createTrainIdLabelImgs of cityscapesscripts"
        )
        with pytest.raises(DatasetError, match=message):
            cityscapes.build()

    @pytest.mark.parametrize("name", ["more.JPG", "deeper/more.jpeg", "more.png", "more.Tif"])
    def test_images_of_another_suffix(self, ade20k, name) -> None:
        more = ade20k.images[0].parent / name
        more.parent.mkdir(exist_ok=True)
        more.touch()
        message = (
            r"1 image files in .*images/training do not end with '\.jpg' and would be left out; "
            rf"set img_suffix of ade20k_data, .*\n +{more}$"
        )
        with pytest.raises(DatasetError, match=message):
            ade20k.build()
        (ade20k.root / "some.txt").write_text("ADE_train_00000002\n")
        assert len(ade20k.build(ann_file="some.txt")) == 1

    def test_only_some_images_of_another_suffix_are_named(self, cityscapes) -> None:
        for number in range(5):
            cityscapes.images[0].with_name(f"{number}.png").touch()
        message = (
            r"5 image files .*'_leftImg8bit\.png'.*\n.*0\.png\n.*1\.png\n.*2\.png\n +and 2 more$"
        )
        with pytest.raises(DatasetError, match=message):
            cityscapes.build()

    def test_other_files_are_no_stray_images(self, cityscapes) -> None:
        cityscapes.images[0].with_name("notes.txt").touch()
        cityscapes.images[0].with_name("._1.png").touch()
        write_image(Path(str(cityscapes.labels[0]).replace("labelTrainIds", "color")), 40, 30)
        assert len(cityscapes.build()) == 2

    def test_images_and_labels_in_one_folder(self, ade20k) -> None:
        for label in ade20k.labels:
            label.rename(ade20k.images[0].with_name(label.name))
        images = "images/training"
        assert len(ade20k.build(data_prefix={"img_path": images, "seg_map_path": images})) == 2

    def test_label_without_an_image_is_told(self, ade20k, said) -> None:
        write_label(ade20k.labels[0].with_name("ADE_train_3.png"), [[1]])
        ade20k.build()
        assert f"1 files *.png in {ade20k.labels[0].parent} have no image in" in said[0]
        assert said[1].startswith("checked 2 samples of")


class TestFiles:
    def test_sizes(self, folder) -> None:
        write_label(folder.labels[0], np.ones((40, 30)))
        message = rf"1 labels have another size .*\n +{folder.labels[0]} is 30 x 40, its image 40 x"
        with pytest.raises(DatasetError, match=message):
            folder.build()

    @pytest.mark.parametrize("flag", ["color", "color_ignore_orientation"])
    def test_image_turned_by_exif(self, ade20k, flag) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        write_image(ade20k.images[0], 40, 30, exif=exif)
        pipeline = [
            {"type": "LoadImageFromFile", "color_type": flag},
            {"type": "LoadAnnotations"},
        ]
        if flag == "color":
            with pytest.raises(DatasetError, match=r"its image 30 x 40; .*turned as its EXIF data"):
                ade20k.build(pipeline=pipeline)
        else:
            assert ade20k.build(pipeline=pipeline)[0]["img"].shape == (30, 40, 3)

    @pytest.mark.parametrize("part", ["images", "labels"])
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"<html>not found</html>", "is not an image"),
            (b"\x89PNG\r\n\x1a\n\0\0\0", "is cut off: a PNG file without its end chunk"),
        ],
    )
    def test_damaged(self, folder, part, content, message) -> None:
        path = getattr(folder, part)[1]
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=rf"1 files are damaged\n +{path} {message}"):
            folder.build()

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (Image.new("RGB", (24, 36)), "a PNG file with RGB pixels"),
            (Image.new("I;16", (24, 36)), "a PNG file with 16-bit grey pixels"),
            (Image.new("LA", (24, 36)), "a PNG file with grey and alpha pixels"),
        ],
    )
    def test_label_of_another_form(self, folder, image, message) -> None:
        image.save(folder.labels[1])
        with pytest.raises(DatasetError, match=rf"one channel of 8 bits.*\n +.*\.png is {message}"):
            folder.build()

    def test_label_that_is_a_jpeg_file(self, ade20k) -> None:
        Image.new("L", (24, 36)).save(ade20k.labels[1], "JPEG")
        with pytest.raises(DatasetError, match=r"\.png is a JPEG file, which mixes"):
            ade20k.build()

    def test_label_with_a_palette(self, ade20k) -> None:
        values = np.resize([0, 1, 150], (30, 40)).astype(np.uint8)
        image = Image.frombytes("P", (40, 30), values.tobytes())
        image.putpalette(bytes(range(256)) * 3)
        image.save(ade20k.labels[0])
        assert np.unique(ade20k.build()[0]["gt_seg_map"]).tolist() == [0, 149, 255]

    def test_many_files_are_not_opened(self, ade20k) -> None:
        ade20k.images[0].write_bytes(b"")
        dataset = ade20k.build(check_files_up_to=1)
        assert "width" not in dataset.get_data_info(1)
        with pytest.raises(DatasetError, match="is empty"):
            dataset[0]


class TestValues:
    @pytest.mark.parametrize("value", [151, 254])
    def test_ade20k(self, ade20k, value) -> None:
        ade20k.write_label(1, [0, 1, value])
        message = (
            rf"1 of 2 label files .* fit 150 classes\n +{ade20k.labels[1]} has the value {value}; "
            "its values are 1 to 150 for the classes, 0 and 255 where ignored"
        )
        with pytest.raises(DatasetError, match=message):
            ade20k.build()

    def test_label_ids_named_train_ids(self, cityscapes) -> None:
        cityscapes.write_label(0, [7, 26, 33, 0])
        message = (
            "1 of 2 label files looked into do not fit 19 classes; these look like "
            r"gtFine_labelIds, not gtFine_labelTrainIds: make .*\n.* has the values 26, 33; its "
            "values are 0 to 18 for the classes and 255 where ignored"
        )
        with pytest.raises(DatasetError, match=message):
            cityscapes.build()

    @pytest.mark.parametrize(("files", "hint"), [(1, False), (2, True)])
    def test_one_wrong_value_in_some_files(self, cityscapes, files, hint) -> None:
        for number in range(files):
            cityscapes.write_label(number, [0, 19])
        with pytest.raises(DatasetError, match="has the value 19") as error:
            cityscapes.build()
        assert ("labelIds" in str(error.value)) is hint

    def test_other_values_are_no_label_ids(self, cityscapes) -> None:
        cityscapes.write_label(0, [0, 200])
        with pytest.raises(DatasetError, match="has the value 200") as error:
            cityscapes.build()
        assert "labelIds" not in str(error.value)

    def test_nothing_but_ignored(self, folder) -> None:
        for number in range(2):
            folder.write_label(number, [0 if "ADE" in folder.kind else 255])
        with pytest.raises(DatasetError, match="no pixel of 2 label files looked into has a class"):
            folder.build()

    def test_all_of_some_files(self, ade20k, said) -> None:
        add_samples(ade20k, range(3, 501), ade20k.labels[0])
        ade20k.build()
        assert said[-1].endswith(" s, the values of all labels among them")
        ade20k.write_label(1, [200])
        with pytest.raises(DatasetError, match="1 of 500 label files looked into"):
            ade20k.build(check_files_up_to=1)

    def test_part_of_many_files(self, ade20k, said) -> None:
        add_samples(ade20k, range(3, 521), ade20k.labels[0])
        advice = "; tools/check_data.py looks into all"
        ade20k.build()
        assert said[-1].startswith("checked 520 samples of ")
        assert said[-1].endswith(f" s, the values of 500 labels among them{advice}")
        ade20k.build(check_files_up_to=519)
        assert said[-1].startswith("listed 520 samples of ")
        assert said[-1].endswith(f" s, decoded 500 labels{advice}")

    def test_damaged_label_of_many_files(self, ade20k) -> None:
        ade20k.labels[1].write_bytes(b"")
        with pytest.raises(DatasetError, match="1 of 2 label files looked into cannot be read"):
            ade20k.build(check_files_up_to=1)


class TestClasses:
    def test_unknown_names(self, ade20k) -> None:
        message = r"classes \['moon'\], which CheckedADE20KDataset has not among its 150; .*Checked"
        with pytest.raises(DatasetError, match=message):
            ade20k.build(metainfo={"classes": ("sky", "moon")})

    @pytest.mark.parametrize("count", [0, 255])
    def test_number(self, ade20k, count) -> None:
        names = [str(number) for number in range(count)]
        with pytest.raises(
            DatasetError, match=rf"CheckedSegDataset has {count} classes; .* to 254"
        ):
            ade20k.build(type="CheckedSegDataset", metainfo={"classes": names})

    def test_own_classes(self, ade20k) -> None:
        changes = {"type": "CheckedSegDataset", "metainfo": {"classes": ("a", "b")}}
        with pytest.raises(DatasetError, match="has the value 2; its values are 0 to 1 for"):
            ade20k.build(**changes)
        dataset = ade20k.build(**changes, reduce_zero_label=True)
        assert np.unique(dataset[0]["gt_seg_map"]).tolist() == [0, 1, 255]

    def test_list_of_objects(self, ade20k) -> None:
        names = [*ADE20KDataset.METAINFO["classes"]]
        names[:2] = names[1::-1]
        rows = [f"{n}\t0.5000\t{n}1\t22\t{name}\n" for n, name in enumerate(names, 1)]
        (ade20k.root / "objectInfo150.txt").write_text("".join(rows))
        with pytest.raises(DatasetError, match=r"150 objects, .* at number 1: 'building' there"):
            ade20k.build()
        own = {"classes": ("a", "b")}
        ade20k.build(type="CheckedSegDataset", metainfo=own, reduce_zero_label=True)
