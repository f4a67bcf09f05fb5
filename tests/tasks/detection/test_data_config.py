from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import FUNCTIONS

import tasks.detection  # noqa: F401  registers the rule
from tasks.detection.datasets import DatasetError


def detector(**coco_data: object) -> Config:
    """The parts of a cascaded Mask R-CNN config that the rule may touch, and some others."""
    dataset = {
        "type": "CocoDataset",
        "data_root": "data/coco/",
        "ann_file": "annotations/instances_train2017.json",
        "data_prefix": {"img": "train2017/", "seg": "stuff/"},
        "filter_cfg": {"min_size": 32},
        "pipeline": [{"type": "LoadImageFromFile"}],
    }
    loader = {"batch_size": 2, "dataset": dataset}
    head = {"num_classes": 80, "loss_cls": {"type": "SeesawLoss", "num_classes": 80}}
    model = {
        "backbone": {"type": "ResNet", "num_classes": 1000},
        "rpn_head": {"type": "RPNHead", "num_classes": 1},
        "roi_head": {
            "bbox_head": [copy.deepcopy(head), {"type": "Shared2FCBBoxHead"}],
            "mask_head": {"type": "FCNMaskHead", "num_classes": 80},
            "semantic_head": {"num_classes": 183},
        },
    }
    evaluator = {"type": "CocoMetric", "ann_file": "data/coco/val.json", "metric": ["bbox"]}
    content = {
        "model": model,
        "train_dataloader": loader,
        "val_dataloader": loader,
        "test_dataloader": loader,
        "val_evaluator": evaluator,
        "test_evaluator": [{"type": "OtherMetric", "ann_file": "x"}, evaluator],
        "coco_data": coco_data,
    }
    return Config(copy.deepcopy(content))


def apply(cfg: Config) -> Config:
    FUNCTIONS.get("coco_data")(cfg)
    return cfg


def layout(root: Path, *files: str, names: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Annotation files with these categories, and with a trailing slash, folders."""
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(names)]
    for file in files:
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    return root


def toy_layout(root: Path) -> Path:
    annotations = ("annotations/instances_train.json", "annotations/instances_val.json")
    return layout(root, *annotations, "train/", "val/")


@pytest.mark.parametrize("coco_data", [{}, {"root": None, "train_ann": None}, None])
def test_nothing_changes_without_a_root(coco_data: dict | None) -> None:
    cfg = detector()
    cfg.coco_data = coco_data
    before = copy.deepcopy(cfg.to_dict())
    assert apply(cfg).to_dict() == before
    cfg.pop("coco_data")
    before.pop("coco_data")
    assert apply(cfg).to_dict() == before


def test_what_changes(tmp_path: Path) -> None:
    root = str(toy_layout(tmp_path))
    cfg = apply(detector(root=root))
    for loader, split in (("train", "train"), ("val", "val"), ("test", "val")):
        dataset = cfg[f"{loader}_dataloader"].dataset
        palette = dataset.metainfo.pop("palette")
        assert len(set(map(tuple, palette))) == 2
        assert dataset.to_dict() == {
            "type": "CheckedCocoDataset",
            "data_root": root,
            "ann_file": f"annotations/instances_{split}.json",
            "data_prefix": {"img": f"{split}/", "seg": "stuff/"},
            "filter_cfg": {"min_size": 32},
            "pipeline": [{"type": "LoadImageFromFile"}],
            "metainfo": {"classes": ("cat", "dog")},
        }
    ann_file = f"{root}/annotations/instances_val.json"
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator[1].ann_file == ann_file
    assert cfg.val_evaluator.metric == ["bbox"]
    assert cfg.test_evaluator[0].ann_file == "x"
    roi_head = cfg.model.roi_head
    assert [head.num_classes for head in roi_head.bbox_head] == [2, 2]
    assert roi_head.bbox_head[0].loss_cls.num_classes == 2
    assert roi_head.mask_head.num_classes == 2
    assert roi_head.semantic_head.num_classes == 183
    assert cfg.model.rpn_head.num_classes == 1
    assert cfg.model.backbone.num_classes == 1000


def test_applying_it_again_changes_nothing(tmp_path: Path) -> None:
    cfg = apply(detector(root=str(toy_layout(tmp_path))))
    once = copy.deepcopy(cfg.to_dict())
    assert apply(cfg).to_dict() == once


def test_config_survives_a_dump(tmp_path: Path) -> None:
    cfg = apply(detector(root=str(toy_layout(tmp_path))))
    cfg.dump(tmp_path / "config.py")
    assert Config.fromfile(tmp_path / "config.py").to_dict() == cfg.to_dict()


def test_from_the_command_line(tmp_path: Path) -> None:
    cfg = detector()
    cfg.merge_from_dict({"coco_data.root": str(toy_layout(tmp_path))})
    assert apply(cfg).train_dataloader.dataset.data_root == str(tmp_path)


def test_data_sets_inside_wrappers_and_scopes(tmp_path: Path) -> None:
    cfg = detector(root=str(toy_layout(tmp_path)))
    leaf = cfg.train_dataloader.dataset | {"type": "mmdet.CocoDataset"}
    inner = {"type": "ClassBalancedDataset", "dataset": leaf}
    mix = {"type": "MultiImageMixDataset", "dataset": {"type": "RepeatDataset", "dataset": inner}}
    cfg.train_dataloader.dataset = mix
    cfg.val_dataloader.dataset = {"type": "ConcatDataset", "datasets": [leaf]}
    apply(cfg)
    assert cfg.train_dataloader.dataset.type == "MultiImageMixDataset"
    leaves = (
        cfg.train_dataloader.dataset.dataset.dataset.dataset,
        cfg.val_dataloader.dataset.datasets[0],
    )
    assert [leaf.type for leaf in leaves] == ["CheckedCocoDataset"] * 2
    assert [leaf.data_prefix.img for leaf in leaves] == ["train/", "val/"]


def test_metrics_inside_an_evaluator(tmp_path: Path) -> None:
    cfg = detector(root=str(toy_layout(tmp_path)))
    cfg.val_evaluator = {"type": "Evaluator", "metrics": [{"type": "mmdet.CocoMetric"}]}
    metric = apply(cfg).val_evaluator.metrics[0]
    assert metric.ann_file == str(tmp_path / "annotations" / "instances_val.json")


def test_heads_inside_lists(tmp_path: Path) -> None:
    cfg = detector(root=str(toy_layout(tmp_path)))
    loss = {"loss_cls": [{"type": "SeesawLoss", "num_classes": 80}]}
    cfg.model = {"stages": [{"bbox_head": loss}]}
    head = apply(cfg).model.stages[0].bbox_head
    assert (head.num_classes, head.loss_cls[0].num_classes) == (2, 2)


def test_single_stage_model_and_absent_parts(tmp_path: Path) -> None:
    cfg = detector(root=str(toy_layout(tmp_path)))
    cfg.model = {"type": "Wrapper", "detector": {"bbox_head": {"num_classes": 80}}}
    for key in ("val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"):
        cfg[key] = None
    assert apply(cfg).model.detector.bbox_head.num_classes == 2


@pytest.mark.parametrize(
    ("ann", "img"),
    [
        (("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
         ("train2017/", "val2017/")),
        (("annotations/instances_train2014.json", "annotations/instances_val2014.json"),
         ("images/train2014/", "images/val2014/")),
        (("annotations/instances_train.json", "annotations/instances_val.json"),
         ("images/train/", "val/")),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json"), ("train/", "valid/")),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, ann: tuple[str, str], img: tuple[str, str]) -> None:
    cfg = apply(detector(root=str(layout(tmp_path, *ann, *img))))
    datasets = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert tuple(dataset.ann_file for dataset in datasets) == ann
    assert tuple(dataset.data_prefix.img for dataset in datasets) == img


def test_given_paths_win(tmp_path: Path) -> None:
    root = str(layout(toy_layout(tmp_path), "mine/a.json"))
    elsewhere = str(tmp_path / "annotations" / "instances_val.json")
    cfg = apply(detector(root=root, train_ann="mine/a.json", train_img="", val_ann=elsewhere,
                         val_img="pictures"))  # fmt: skip
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert (train.ann_file, train.data_prefix.img) == ("mine/a.json", "")
    assert (val.ann_file, val.data_prefix.img) == (elsewhere, "pictures")


def test_image_folder_that_is_not_there_is_left_to_the_data_set(tmp_path: Path) -> None:
    toy_layout(tmp_path)
    (tmp_path / "train").rmdir()
    assert apply(detector(root=str(tmp_path))).train_dataloader.dataset.data_prefix.img == "train/"


def test_several_fit(tmp_path: Path) -> None:
    layout(toy_layout(tmp_path), "annotations/instances_train2017.json", "images/val/")
    with pytest.raises(DatasetError, match=r"instances_train2017\.json and annotations/instances_"):
        apply(detector(root=str(tmp_path)))
    chosen = {"root": str(tmp_path), "train_ann": "annotations/instances_train2017.json"}
    with pytest.raises(DatasetError, match=r"has val/ and images/val/: set coco_data\.val_img"):
        apply(detector(**chosen))
    cfg = apply(detector(**chosen, val_img="val/"))
    assert cfg.train_dataloader.dataset.data_prefix.img == "train2017/"


@pytest.mark.parametrize(
    ("coco_data", "message"),
    [
        ({"rot": "x"}, r"unknown keys \['rot'\]; known: \['root', "),
        ({"train_ann": "x"}, r"has \['train_ann'\] but no root"),
        ({"root": "no/such/place"}, "root='no/such/place' is not a folder .seen from "),
        ({"root": "{tmp}"}, r"has none of annotations/instances_val2017\.json, .*val_ann; .* "
                            r"contains: annotations/, train/; .*contains: instances_train\.json"),
        ({"root": "{tmp}", "val_ann": "v.json"}, r"val_ann: .*v\.json does not exist; .*contains"),
        ({"root": "{tmp}", "train_ann": "train/x.json"}, "train_img is needed as well"),
    ],
)  # fmt: skip
def test_what_cannot_be_found(tmp_path: Path, coco_data: dict, message: str) -> None:
    layout(tmp_path, "annotations/instances_train.json", "train/x.json")
    filled = {key: value.format(tmp=tmp_path) for key, value in coco_data.items()}
    with pytest.raises(ValueError, match=message):
        apply(detector(**filled))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "cow"), r"only in the first \['dog'\], only in the second \['cow'\]"),
        (("dog", "cat"), r"\['cat', 'dog'\] against \['dog', 'cat'\]"),
    ],
)
def test_other_categories_in_val(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    layout(toy_layout(tmp_path), "annotations/instances_val.json", names=names)
    with pytest.raises(DatasetError, match=message):
        apply(detector(root=str(tmp_path)))


def test_parts_that_it_cannot_change(tmp_path: Path) -> None:
    cfg = detector(root=str(toy_layout(tmp_path)))
    cfg.train_dataloader.dataset.type = "VOCDataset"
    with pytest.raises(ValueError, match=r"train_dataloader: .*\['VOCDataset'\]"):
        apply(cfg)
    cfg = detector(root=str(tmp_path))
    leaf = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = {"type": "ConcatDataset", "datasets": [leaf, leaf]}
    with pytest.raises(ValueError, match="train_dataloader"):
        apply(cfg)
    cfg = detector(root=str(tmp_path))
    cfg.model = {"type": "Segmenter", "decode_head": {"num_classes": 19}}
    with pytest.raises(ValueError, match="no head with num_classes"):
        apply(cfg)
