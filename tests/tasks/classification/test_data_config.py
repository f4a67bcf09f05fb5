from __future__ import annotations

import pytest
from mmengine.config import Config
from PIL import Image

import tasks.classification  # noqa: F401
from tasks.classification.data_config import imagenet_data
from tasks.data_checks import DatasetError


def config(**data):
    loader = dict(batch_size=32, dataset=dict(type="ImageClassDataset"))
    return Config(
        dict(
            imagenet_data=data,
            model=dict(head=dict(type="LinearClsHead", num_classes=1000)),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            val_evaluator=dict(type="TopKAccuracy", topk=(1, 5)),
        )
    )


def files(dataset):
    return dataset.data_prefix, dataset.ann_file


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog", "emu"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / split / name / "1.png")
    return tmp_path


class TestImagenetData:
    def test_class_folders(self, root):
        cfg = config(root=str(root))
        imagenet_data(cfg)
        assert files(cfg.train_dataloader.dataset) == ("train", "")
        assert (
            files(cfg.val_dataloader.dataset)
            == files(cfg.test_dataloader.dataset)
            == (
                "val",
                "",
            )
        )
        assert cfg.train_dataloader.dataset.classes == ("cat", "dog", "emu")
        assert cfg.model.head.num_classes == 3
        assert cfg.val_evaluator.topk == (1,)

    def test_loaders_of_hooks_read_the_training_images(self, root):
        cfg = config(root=str(root))
        loader = dict(dataset=dict(type="ImageClassDataset"))
        cfg.custom_hooks = [dict(type="BatchAverageHook", dataloader=loader), dict(type="Other")]
        imagenet_data(cfg)
        assert files(cfg.custom_hooks[0].dataloader.dataset) == ("train", "")
        assert cfg.custom_hooks[0].dataloader.dataset.data_root == str(root)

    def test_again_changes_nothing(self, root):
        cfg = config(root=str(root))
        imagenet_data(cfg)
        before = cfg.copy()
        imagenet_data(cfg)
        assert cfg.to_dict() == before.to_dict()

    def test_a_flat_validation_folder_with_a_list(self, root):
        for name in ("cat", "dog", "emu"):
            (root / "val" / name / "1.png").rename(root / "val" / f"{name}.png")
            (root / "val" / name).rmdir()
        (root / "meta").mkdir()
        (root / "meta" / "val.txt").write_text("cat.png 0\ndog.png 1\nemu.png 2\n")
        cfg = config(root=str(root))
        imagenet_data(cfg)
        assert files(cfg.val_dataloader.dataset) == ("val", "meta/val.txt")
        assert cfg.val_dataloader.dataset.classes == ("cat", "dog", "emu")

    def test_named_lists_relative_to_the_root(self, root):
        (root / "mine.txt").write_text("train/cat/1.png 0\ntrain/dog/1.png 1\n")
        cfg = config(root=str(root), train_list="mine.txt", train_img="", val_list="mine.txt",
                     val_img="")  # fmt: skip
        imagenet_data(cfg)
        assert files(cfg.train_dataloader.dataset) == ("", "mine.txt")
        assert cfg.model.head.num_classes == 2
        assert cfg.train_dataloader.dataset.classes == ("0", "1")

    def test_without_a_root_nothing_changes(self):
        cfg = config()
        imagenet_data(cfg)
        assert cfg.model.head.num_classes == 1000

    @pytest.mark.parametrize("labels", [(1, 2, 3), (0, 1, 3)])
    def test_labels_with_gaps(self, root, labels):
        lines = [f"cat/1.png {label}" for label in labels]
        (root / "train.txt").write_text("\n".join(lines))
        data = dict(root=str(root), train_list="train.txt")
        with pytest.raises(DatasetError, match=r"no image of 1 of these classes.*from 0"):
            imagenet_data(config(**data))

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (dict(path="x"), r"unknown keys \['path'\]"),
            (dict(val_list="x"), "but no root"),
            (dict(root="absent"), r"root='absent' is not a folder"),
            (dict(root="{root}/train"), r"neither train/CLASS/ folders nor a list .*'cat'"),
            (dict(root="{root}", train_list="x.txt"), r"x\.txt cannot be read"),
        ],
    )
    def test_mistakes(self, root, data, message):
        data = {key: value.format(root=root) for key, value in data.items()}
        with pytest.raises((ValueError, DatasetError), match=message):
            imagenet_data(config(**data))

    def test_a_model_without_classes(self, root):
        cfg = config(root=str(root))
        cfg.model = dict()
        with pytest.raises(ValueError, match=r"no model\.head with num_classes"):
            imagenet_data(cfg)
