from __future__ import annotations

import copy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import FUNCTIONS

import tasks.segmentation  # noqa: F401  registers the rules

PREFIXES = {
    "ade20k": {
        "train": ("images/training", "annotations/training"),
        "val": ("images/validation", "annotations/validation"),
    },
    "cityscapes": {
        "train": ("leftImg8bit/train", "gtFine/train"),
        "val": ("leftImg8bit/val", "gtFine/val"),
    },
}
TYPES = {"ade20k": "ADE20KDataset", "cityscapes": "CityscapesDataset"}


def segmentor(kind: str = "ade20k", **data: object) -> Config:
    dataset = {"type": TYPES[kind], "data_root": "data", "data_prefix": {"img_path": "x"}}
    loader = {"batch_size": 2, "dataset": dataset | {"pipeline": [{"type": "LoadImageFromFile"}]}}
    content = {
        "model": {
            "backbone": {"num_classes": 1000},
            "decode_head": {"type": "PSPHead", "num_classes": 7},
            "auxiliary_head": [{"type": "FCNHead", "num_classes": 7}, {"type": "FCNHead"}],
        },
        "train_dataloader": loader,
        "val_dataloader": loader,
        "test_dataloader": loader,
        "custom_hooks": [{"type": "A"}, {"type": "B", "dataloader": loader}],
        f"{kind}_data": data,
    }
    return Config(copy.deepcopy(content))


def apply(cfg: Config, kind: str = "ade20k") -> Config:
    FUNCTIONS.get(f"{kind}_data")(cfg)
    return cfg


def datasets(cfg: Config) -> dict[str, Config]:
    found = {split: cfg[f"{split}_dataloader"].dataset for split in ("train", "val", "test")}
    return found | {"hook": cfg.custom_hooks[1].dataloader.dataset}


def num_classes(cfg: Config) -> list[int]:
    return [cfg.model.decode_head.num_classes] + [h.num_classes for h in cfg.model.auxiliary_head]


@pytest.mark.parametrize("data", [{}, {"root": None, "classes": None}])
@pytest.mark.parametrize("kind", TYPES)
def test_nothing_changes_without_a_root(kind: str, data: dict) -> None:
    cfg = segmentor(kind, **data)
    before = copy.deepcopy(cfg.to_dict())
    assert apply(cfg, kind).to_dict() == before


@pytest.mark.parametrize("kind", TYPES)
def test_the_benchmark_elsewhere(tmp_path: Path, kind: str) -> None:
    cfg = apply(segmentor(kind, root=str(tmp_path)), kind)
    for split, dataset in datasets(cfg).items():
        images, labels = PREFIXES[kind]["val" if split in ("val", "test") else "train"]
        assert dataset.to_dict() == {
            "type": f"Checked{TYPES[kind]}",
            "data_root": str(tmp_path),
            "data_prefix": {"img_path": images, "seg_map_path": labels},
            "pipeline": [{"type": "LoadImageFromFile"}],
        }
    assert num_classes(cfg) == [{"ade20k": 150, "cityscapes": 19}[kind]] * 3
    assert cfg.model.backbone.num_classes == 1000


def test_own_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\n\n black dog \n")
    for kind in TYPES:
        cfg = apply(segmentor(kind, root=str(tmp_path)), kind)
        for dataset in datasets(cfg).values():
            assert dataset.type == "CheckedSegDataset"
            assert dataset.metainfo.classes == ("cat", "black dog")
            assert len(set(map(tuple, dataset.metainfo.palette))) == 2
            assert dataset.reduce_zero_label is (kind == "ade20k")
        suffixes = (
            cfg.train_dataloader.dataset.img_suffix,
            cfg.val_dataloader.dataset.seg_map_suffix,
        )
        assert (
            suffixes
            == {
                "ade20k": (".jpg", ".png"),
                "cityscapes": ("_leftImg8bit.png", "_gtFine_labelTrainIds.png"),
            }[kind]
        )
        assert num_classes(cfg) == [2] * 3


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_suffixes(tmp_path: Path, kind: str, own: bool) -> None:
    if own:
        (tmp_path / "classes.txt").write_text("cat\n")
    data = {"root": str(tmp_path), "img_suffix": ".JPG", "seg_map_suffix": "_label.png"}
    cfg = apply(segmentor(kind, **data), kind)
    for dataset in datasets(cfg).values():
        assert dataset.type == ("CheckedSegDataset" if own else f"Checked{TYPES[kind]}")
        assert (dataset.img_suffix, dataset.seg_map_suffix) == (".JPG", "_label.png")
    once = copy.deepcopy(cfg.to_dict())
    assert apply(cfg, kind).to_dict() == once


def test_list_of_classes_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    cfg = apply(segmentor(root=str(tmp_path)))
    assert cfg.train_dataloader.dataset.metainfo.classes == ("cat", "dog")


def test_named_list_of_classes_and_folders(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "mine.txt").write_text("a\nb\nc\n")
    cfg = segmentor(root=str(tmp_path), classes="mine.txt", train_img="i/1", val_label="l/2")
    cfg.train_dataloader.dataset.img_suffix = ".png"
    apply(cfg)
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert train.metainfo.classes == ("a", "b", "c")
    assert train.data_prefix.to_dict() == {
        "img_path": "i/1",
        "seg_map_path": "annotations/training",
    }
    assert val.data_prefix.seg_map_path == "l/2"
    assert (train.img_suffix, val.img_suffix) == (".png", ".jpg")


@pytest.mark.parametrize("classes", ["", "cat\ndog\n"])
def test_applying_it_again_changes_nothing(tmp_path: Path, classes: str) -> None:
    if classes:
        (tmp_path / "classes.txt").write_text(classes)
    cfg = apply(segmentor(root=str(tmp_path)))
    once = copy.deepcopy(cfg.to_dict())
    assert apply(cfg).to_dict() == once
    cfg.dump(tmp_path / "config.py")
    assert Config.fromfile(tmp_path / "config.py").to_dict() == cfg.to_dict()


def test_wrappers_and_scopes(tmp_path: Path) -> None:
    cfg = segmentor(root=str(tmp_path))
    leaf = dict(cfg.train_dataloader.dataset, type="mmseg.ADE20KDataset")
    cfg.train_dataloader.dataset = {"type": "ShortSideDataset", "dataset": leaf}
    cfg.val_dataloader.dataset = {"type": "ConcatDataset", "datasets": [leaf]}
    cfg.model.auxiliary_head = {"num_classes": 7}
    cfg.test_dataloader = cfg.custom_hooks = None
    apply(cfg)
    inner = cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset.datasets[0]
    assert [dataset.type for dataset in inner] == ["CheckedADE20KDataset"] * 2
    assert cfg.model.auxiliary_head.num_classes == 150


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "x"}, r"ade20k_data has unknown keys \['path'\]"),
        ({"train_img": "x"}, "but no root"),
        ({"root": "no/such/place"}, "root='no/such/place' is not a folder"),
        ({"root": "{root}", "classes": "x.txt"}, r"list of classes .*x\.txt cannot be read"),
        ({"root": "{root}", "classes": "empty.txt"}, r"empty\.txt names no classes"),
        ({"root": "{root}", "classes": "many.txt"}, r"many\.txt names 255 classes; .* 254 apart"),
        ({"root": "{root}", "img_suffix": ""}, r"ade20k_data\.img_suffix is empty"),
        ({"root": "{root}", "classes": "twice.txt"}, r"names \['a'\] more than once"),
    ],
)
def test_mistakes(tmp_path: Path, data: dict, message: str) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "many.txt").write_text("".join(f"{number}\n" for number in range(255)))
    (tmp_path / "twice.txt").write_text("a\nb\na\n")
    filled = {key: value.format(root=tmp_path) for key, value in data.items()}
    with pytest.raises(ValueError, match=message):
        apply(segmentor(**filled))


def test_parts_that_cannot_be_changed(tmp_path: Path) -> None:
    cfg = segmentor("cityscapes")
    cfg.ade20k_data = {"root": str(tmp_path)}
    message = r"cannot change train_dataloader: it holds data sets of type \['CityscapesDataset'\],"
    with pytest.raises(ValueError, match=message):
        apply(cfg)
    cfg = segmentor(root=str(tmp_path))
    cfg.train_dataloader.dataset.type = "CheckedSegDataset"
    with pytest.raises(ValueError, match=r"whose classes ade20k_data\.classes has to name"):
        apply(cfg)
    cfg = segmentor(root=str(tmp_path))
    cfg.model = {}
    with pytest.raises(ValueError, match=r"no model\.decode_head"):
        apply(cfg)


def test_rules_say_that_they_read_data() -> None:
    assert all(FUNCTIONS.get(f"{kind}_data").reads_data for kind in TYPES)
