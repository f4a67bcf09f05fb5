"""The rule kinetics_data: what it finds below a root, and what it sets."""

from __future__ import annotations

import pytest
from mmengine.config import Config

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before mmdet is imported)
from tasks.data_checks import DatasetError
from tasks.video.data_config import kinetics_data

HEADER = "label,youtube_id,time_start,time_end,split\n"


def config(**data):
    loader = dict(batch_size=8, dataset=dict(type="VideoClassDataset", pipeline=[]))
    return Config(
        dict(
            kinetics_data=data,
            model=dict(head=dict(type="Head", num_classes=400)),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            val_evaluator=dict(type="VideoAccuracy", topk=(1, 5)),
            test_evaluator=[dict(type="Other", topk=(1, 5)), dict(type="VideoAccuracy")],
        )
    )


def files(dataset):
    return dataset.data_prefix, dataset.ann_file


def both(root, **data):
    """Where the rule finds the training and the validation data."""
    cfg = config(root=str(root), **data)
    kinetics_data(cfg)
    assert files(cfg.val_dataloader.dataset) == files(cfg.test_dataloader.dataset)
    return files(cfg.train_dataloader.dataset), files(cfg.val_dataloader.dataset)


@pytest.fixture
def write(tmp_path):
    """Writes files below `tmp_path`."""

    def make(**texts):
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def folders(prefixes=("train", "val"), classes=("cat", "dog", "emu")):
    return {f"{prefix}/{name}/1.mp4": "" for prefix in prefixes for name in classes}


class TestWhatIsFound:
    @pytest.mark.parametrize("pattern", ["{}", "videos_{}", "rawframes_{}"])
    def test_class_folders(self, write, pattern):
        prefixes = [pattern.format(split) for split in ("train", "val")]
        root = write(**folders(prefixes))
        assert both(root) == ((prefixes[0], ""), (prefixes[1], ""))

    @pytest.mark.parametrize(
        "pattern",
        [
            "kinetics400_{}_list_videos.txt",
            "{}.txt",
            "annotations/kinetics400_{}_list_videos.txt",
            "annotations/{}.txt",
        ],
    )
    def test_lists_come_first(self, write, pattern):
        train, val = (pattern.format(split) for split in ("train", "val"))
        text = "cat/1.mp4 0\ndog/1.mp4 1\n"
        csv = {f"annotations/{split}.csv": HEADER for split in ("train", "val")}
        root = write(**{train: text, val: text}, **csv, **folders())
        assert both(root) == (("train", train), ("val", val))

    @pytest.mark.parametrize(
        ("train", "val"),
        [
            ("train.csv", "val.csv"),
            ("train.csv", "validate.csv"),
            ("kinetics_train.csv", "kinetics_val.csv"),
            ("annotations/train.csv", "annotations/validate.csv"),
            ("annotations/kinetics_train.csv", "annotations/kinetics_val.csv"),
        ],
    )
    def test_csv_files_come_before_class_folders(self, write, train, val):
        text = f"{HEADER}run,a,0,10,train\n"
        root = write(**{train: text, val: text}, **folders())
        assert both(root) == (("train", train), ("val", val))

    def test_what_the_paths_of_a_list_are_relative_to(self, write):
        split = {name: f"{name}/cat/1.mp4 0\n" for name in ("train", "val")}
        root = write(**folders(), **{f"{name}.txt": text for name, text in split.items()})
        assert both(root) == (("", "train.txt"), ("", "val.txt"))
        frames = folders(["rawframes_train", "rawframes_val"], ["gnu"])
        write(**frames, **{f"{name}.txt": "gnu/0.mp4 0\ngnu/1.mp4 0\n" for name in split})
        assert both(root) == (("rawframes_train", "train.txt"), ("rawframes_val", "val.txt"))

    def test_what_is_named(self, write):
        names = dict(train_list="a.txt", train_videos="x", val_list="", val_videos="y")
        root = write(**{"a.txt": "1.mp4 0\n", "val.txt": ""}, **folders(["x", "y", "val"], ["c"]))
        assert both(root, **names) == (("x", "a.txt"), ("y", ""))


class TestWhatIsSet:
    def test_classes_and_accuracies(self, write):
        root = write(**folders())
        cfg = config(root=str(root))
        cfg.train_dataloader.dataset = dict(
            type="RepeatDataset", times=2, dataset=cfg.train_dataloader.dataset
        )
        loader = dict(dataset=dict(type="VideoClassDataset"))
        cfg.custom_hooks = [dict(type="BatchAverageHook", dataloader=loader), dict(type="Other")]
        kinetics_data(cfg)
        assert cfg.model.head.num_classes == 3
        train = cfg.train_dataloader.dataset.dataset
        for dataset in (train, cfg.val_dataloader.dataset, cfg.custom_hooks[0].dataloader.dataset):
            assert dataset.classes == ("cat", "dog", "emu")
            assert dataset.data_root == str(root)
            assert "allow_missing" not in dataset
        assert files(cfg.custom_hooks[0].dataloader.dataset) == ("train", "")
        assert cfg.val_evaluator.topk == (1,)
        assert cfg.test_evaluator[0].topk == (1, 5)
        assert cfg.test_evaluator[1].topk == (1,)

    def test_accuracies_among_many_classes(self, write):
        cfg = config(root=str(write(**folders(classes=list("abcdef")))))
        kinetics_data(cfg)
        assert cfg.val_evaluator.topk == (1, 5)

    def test_classes_of_lists_and_csv_files(self, write):
        rows = "ski jump,a,0,10,train\nair drumming,b,0,10,train\n"
        root = write(**{"train.csv": HEADER + rows, "val.csv": HEADER + rows})
        cfg = config(root=str(root))
        kinetics_data(cfg)
        assert cfg.train_dataloader.dataset.classes == ("air drumming", "ski jump")
        write(**{"train.txt": "1.mp4 1\n2.mp4 0\n", "classes.txt": "", "val.txt": ""})
        (root / "classes.txt").unlink()
        cfg = config(root=str(root), val_list="val.csv")
        kinetics_data(cfg)
        assert cfg.train_dataloader.dataset.classes == ("0", "1")
        write(**{"classes.txt": "jump\nrun\n"})
        kinetics_data(cfg)
        assert cfg.val_dataloader.dataset.classes == ("jump", "run")

    def test_again_changes_nothing(self, write):
        cfg = config(root=str(write(**folders())), allow_missing=True)
        kinetics_data(cfg)
        before = cfg.copy()
        kinetics_data(cfg)
        assert cfg.to_dict() == before.to_dict()
        assert cfg.val_dataloader.dataset.allow_missing is True

    def test_without_a_root_nothing_changes(self):
        cfg = config()
        before = cfg.copy()
        kinetics_data(cfg)
        assert cfg.to_dict() == before.to_dict()


class TestMistakes:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (dict(path="x"), r"unknown keys \['path'\]"),
            (dict(val_list="x"), "but no root"),
            (dict(root="absent"), r"root='absent' is not a folder"),
            (dict(root="{root}/train"), r"neither a list train\.txt or .* holds \['cat', 'dog'"),
            (dict(root="{root}", train_list="x.txt"), r"x\.txt cannot be read"),
            (
                dict(root="{root}", val_videos="x"),
                r"nor folders x/CLASS/ of .*data\.val_l",
            ),
            (dict(root="{root}", allow_missing="yes"), r"allow_missing is 'yes'; give True or Fa"),
        ],
    )
    def test_in_the_switch(self, write, data, message):
        root = write(**folders())
        filled = {key: value.format(root=root) for key, value in data.items()}
        with pytest.raises(ValueError, match=message):
            kinetics_data(config(**filled))

    @pytest.mark.parametrize("labels", [(1, 2, 3), (0, 1, 3)])
    def test_labels_with_gaps(self, write, labels):
        text = "\n".join(f"{label}.mp4 {label}" for label in labels)
        root = write(**folders(), **{"train.txt": text})
        with pytest.raises(DatasetError, match=r"no video of 1 of these classes.*from 0"):
            kinetics_data(config(root=str(root)))

    def test_a_model_without_classes(self, write):
        cfg = config(root=str(write(**folders())))
        cfg.model = dict()
        with pytest.raises(ValueError, match=r"no model\.head with num_classes"):
            kinetics_data(cfg)
