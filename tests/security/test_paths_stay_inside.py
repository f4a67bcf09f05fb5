"""What annotations name lies below the folder that they are relative to."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS
from PIL import Image

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before mmdet is imported)
import tasks.classification
import tasks.detection
import tasks.face
import tasks.segmentation
import tasks.video  # noqa: F401
from tasks.data_checks import DatasetError, outside
from tasks.face.datasets.pair_list import read_pair_list
from tasks.face.evaluation.ijb.meta import read_faces
from tasks.face.evaluation.megaface.lists import (
    read_distractor_list,
    read_noises,
    read_probe_list,
)
from tasks.toy_data import coco

BAD = ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "a/..", "~/x.jpg", "~root/x.jpg", "a\\x.jpg"]
BAD += ["..", "a\0.jpg"]
GOOD = ["a.jpg", "a/b.jpg", "a..b.jpg", "..a/.b.jpg", "a~b.jpg", "a/~b.jpg", ".../a.jpg", "a b.jpg"]


@pytest.fixture
def root(tmp_path):
    """A folder of data, and a file beside it that it must not lead to."""
    (tmp_path / "x.jpg").write_bytes(b"secret")
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def image_list(root: Path, path: str, name: str = "list.txt") -> str:
    (root / name).write_text(f"a.jpg 0\n{path} 1\n")
    return name


def classification(root, path):
    DATASETS.build(
        dict(type="ImageClassDataset", data_root=str(root), ann_file=image_list(root, path))
    )


def face_classes(root, path):
    DATASETS.build(
        dict(type="FaceImageDataset", data_root=str(root), ann_file=image_list(root, path))
    )


def face_list(root, path):
    (root / "list.txt").write_text(f"a.jpg\n{path}\n")
    DATASETS.build(dict(type="FaceListDataset", data_root=str(root), ann_file="list.txt"))


def face_pairs(root, path):
    (root / "pairs.txt").write_text(f"a.jpg b.jpg 1\n{path} a.jpg 0\n")
    read_pair_list(str(root / "pairs.txt"), str(root))


def lfw_pairs(root, path):
    (root / "pairs.txt").write_text(f"a 1 2\n{path} 1 2\n")
    read_pair_list(str(root / "pairs.txt"), str(root))


def ijb(root, path):
    numbers = " ".join(["1"] * 11)
    (root / "ijbc_name_5pts_score.txt").write_text(f"a.jpg {numbers}\n{path} {numbers}\n")
    read_faces(root, "IJBC")


def megaface_probes(root, path):
    (root / "list.json").write_text(json.dumps({"id": ["a", "a"], "path": ["a.jpg", path]}))
    read_probe_list(root / "list.json")


def megaface_distractors(root, path):
    (root / "list.json").write_text(json.dumps({"path": ["a.jpg", path]}))
    read_distractor_list(root / "list.json")


def megaface_noises(root, path):
    (root / "noises.txt").write_text(f"a.jpg\n{path}\n")
    read_noises(root / "noises.txt")


def videos(root, path):
    DATASETS.build(
        dict(type="VideoClassDataset", data_root=str(root), ann_file=image_list(root, path))
    )


def kinetics_id(root, path, label="dancing"):
    (root / "train.csv").write_text(
        f"label,youtube_id,time_start,time_end\ndancing,abc,0,10\n{label},{path},0,10\n"
    )
    DATASETS.build(dict(type="VideoClassDataset", data_root=str(root), ann_file="train.csv"))


def kinetics_label(root, path):
    kinetics_id(root, "abc", path)


def segmentation(root, path):
    for name in ("images", "labels"):
        (root / name).mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name / "a.png")
    (root / "list.txt").write_text(f"a\n{path}\n")
    DATASETS.build(
        dict(
            type="mmseg.CheckedSegDataset",
            data_root=str(root),
            data_prefix=dict(img_path="images", seg_map_path="labels"),
            ann_file="list.txt",
            img_suffix=".png",
            metainfo=dict(classes=("a",), palette=[[0, 0, 0]]),
        )
    )


def detection(root, path, examined=False):
    coco.generate(root, coco.CocoToy(train=2, val=2, size=64))
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["images"][1]["file_name"] = path
    file.write_text(json.dumps(content))
    classes = tuple(category["name"] for category in content["categories"])
    config = dict(
        type="mmdet.CheckedCocoDataset",
        ann_file=str(file),
        data_prefix=dict(img=str(root / "train")),
        metainfo=dict(classes=classes),
    )
    if examined:  # as tools/check_data.py builds it
        config["check_images_up_to"] = 0
    DATASETS.build(config)


def detection_to_examine(root, path):
    detection(root, path, examined=True)


# How each names the second record, and paths that it cannot hold or takes for something else.
READERS = {
    classification: "line 2",
    face_classes: "line 2",
    face_list: "line 2",
    face_pairs: "line 2",
    lfw_pairs: "line 2",
    ijb: "line 2",
    megaface_probes: "entry 1",
    megaface_distractors: "entry 1",
    megaface_noises: "entry 1",
    videos: "line 2",
    kinetics_label: "line 3",
    segmentation: "line 2",
    detection: "number 1, image",
    detection_to_examine: "number 1, image",
}


@pytest.mark.parametrize("path", BAD)
@pytest.mark.parametrize("reader", READERS)
def test_paths_that_lead_out(reader, path, root):
    place = READERS[reader]
    with pytest.raises(DatasetError, match=rf"(?s)\.(txt|json|csv) cannot be used.*{place}"):
        reader(root, path)


@pytest.mark.parametrize("path", ["../abc", "a/b", "~a", "a\\b", "/a"])
def test_names_of_kinetics_are_no_paths(path, root):
    with pytest.raises(DatasetError, match=r"(?s)train\.csv cannot be used.*other folders.*line 3"):
        kinetics_id(root, path)


def test_the_message_says_what_would_be_right(root):
    with pytest.raises(DatasetError, match=r"write paths below it, with / between folders"):
        classification(root, "../x.jpg")


@pytest.mark.parametrize("path", GOOD)
def test_paths_that_stay_inside(path):
    assert outside([path], ["line 1"]) == []
    assert outside([path, ".."], ["line 1", "line 2"])[0].offenders == ("line 2: '..'",)


def test_links_in_the_folder_are_the_users_own(root):
    (root / "linked").symlink_to(root.parent)
    Image.new("RGB", (4, 4)).save(root / "a.jpg")
    image_list(root, "linked/x.jpg")
    dataset = DATASETS.build(
        dict(type="ImageClassDataset", data_root=str(root), ann_file="list.txt")
    )
    assert len(dataset) == 2


def test_a_hundred_thousand_take_no_time():
    paths = [f"{number:012d}.jpg" for number in range(118_287)]
    start = time.process_time()
    assert outside(paths, range(len(paths))) == []
    assert time.process_time() - start < 0.5
