from __future__ import annotations

import shutil

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, FUNCTIONS

from tasks.data_checks import DatasetError
from tasks.face import data_config, datasets, transforms  # noqa: F401
from tasks.face.datasets.verification_bin import write_bin

TRAIN = [dict(type="DecodeFace"), dict(type="RandomFlipFace"), dict(type="PackFace")]
VAL = [dict(type="DecodeFace"), dict(type="PackFace")]


def config(**data):
    val = dict(batch_size=2, dataset=dict(type="VerificationDataset", bins=["x"], pipeline=VAL))
    return Config(
        dict(
            face_data=data,
            model=dict(head=dict(type="PartialFC", num_classes=85742)),
            train_dataloader=dict(
                dataset=dict(type="FaceRecordDataset", rec="x", pipeline=TRAIN, max_undecodable=3)
            ),
            val_dataloader=val,
            val_cfg=dict(),
            val_evaluator=dict(type="FaceVerification"),
            test_dataloader=val,
            test_cfg=dict(),
            test_evaluator=dict(type="FaceVerification"),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_best="auto")),
        )
    )


def apply(**data):
    cfg = config(**data)
    rule = FUNCTIONS.get("face_data")
    assert rule.reads_data
    rule(cfg)
    before = cfg.to_dict()
    rule(cfg)
    assert cfg.to_dict() == before
    return cfg


@pytest.fixture
def root(write_records, face):
    folder = write_records((2, 3, 1)).parent
    write_bin(folder / "lfw.bin", [face(), face()], [True])
    return folder


@pytest.fixture
def folders(root, face):
    (root / "train.rec").unlink()
    for number, name in enumerate(("ann", "bob")):
        path = root / "imgs" / name / "1.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(face(number))
    return root


class TestTraining:
    def test_records(self, root):
        cfg = apply(root=str(root))
        dataset = cfg.train_dataloader.dataset
        assert dataset.type == "FaceRecordDataset"
        assert dataset.rec == f"{root}/train.rec"
        assert dataset.max_undecodable == 3
        assert dataset.pipeline == TRAIN
        assert cfg.model.head.num_classes == 3
        assert DATASETS.build(dataset).num_classes == 3

    def test_records_without_a_property_file(self, root):
        (root / "property").unlink()
        (root / "train.rec").rename(root / "other.rec")
        (root / "train.idx").rename(root / "other.idx")
        cfg = apply(root=str(root), train_rec="other.rec")
        assert cfg.model.head.num_classes == 3

    @pytest.mark.parametrize("name", ["train", "imgs", "images", "", "mine"])
    def test_folders(self, folders, name):
        if name != "imgs":
            shutil.move(folders / "imgs", folders / "moved")
            if name:
                (folders / "moved").rename(folders / name)
            else:
                for inner in (folders / "moved").iterdir():
                    inner.rename(folders / inner.name)
                (folders / "moved").rmdir()
        cfg = apply(root=str(folders), **(dict(train_img="mine") if name == "mine" else {}))
        dataset = cfg.train_dataloader.dataset
        assert dataset.type == "FaceImageDataset"
        assert dataset.max_undecodable == 3
        assert cfg.model.head.num_classes == 2
        assert DATASETS.build(dataset).metainfo["classes"] == ("ann", "bob")

    @pytest.mark.parametrize("name", ["train.txt", "mine.txt"])
    def test_a_list(self, folders, name):
        (folders / name).write_text("imgs/ann/1.jpg 0\nimgs/bob/1.jpg 1\n")
        cfg = apply(root=str(folders), **(dict(train_list=name) if name == "mine.txt" else {}))
        assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 2
        assert cfg.model.head.num_classes == 2
        (folders / name).write_text("ann/1.jpg 0\nbob/1.jpg 2\n")
        with pytest.raises(DatasetError, match="no image of 1 of these identities"):
            apply(root=str(folders), train_list=name, train_img="imgs")
        cfg = apply(root=str(folders), train_list=name, train_img="imgs", num_classes=4)
        assert cfg.model.head.num_classes == 4

    def test_more_classes_than_there_are(self, root):
        cfg = apply(root=str(root), num_classes=10)
        assert cfg.model.head.num_classes == cfg.train_dataloader.dataset.num_classes == 10

    def test_hooks_get_the_training_data(self, root):
        cfg = config(root=str(root))
        loader = dict(dataset=dict(type="FaceRecordDataset", rec="x", pipeline=VAL))
        cfg.custom_hooks = [dict(type="BatchAverageHook", dataloader=loader), dict(type="Other")]
        FUNCTIONS.get("face_data")(cfg)
        assert cfg.custom_hooks[0].dataloader.dataset.rec == f"{root}/train.rec"
        assert cfg.custom_hooks[0].dataloader.dataset.pipeline == VAL

    def test_a_label_beyond_the_classes_of_the_file(self, root):
        (root / "property").write_text("2,112,112")
        cfg = apply(root=str(root))
        assert cfg.model.head.num_classes == 2
        with pytest.raises(DatasetError, match=r"label 2, but the file 'property' .* 2 classes"):
            DATASETS.build(cfg.train_dataloader.dataset)

    def test_hooks_that_are_no_dicts(self, root):
        cfg = config(root=str(root))
        cfg.custom_hooks = ["EMAHook", None, dict(type="Other", dataloader="x")]
        before = list(cfg.custom_hooks)
        FUNCTIONS.get("face_data")(cfg)
        assert cfg.custom_hooks == before

    def test_only_to_evaluate(self, root):
        for name in ("train.rec", "train.idx", "property"):
            (root / name).unlink()
        cfg = apply(root=str(root), num_classes=7)
        assert cfg.train_dataloader.dataset.rec == "x"
        assert cfg.model.head.num_classes == 7
        assert cfg.val_dataloader.dataset.bins == ["lfw.bin"]


class TestValidation:
    def test_the_usual_sets(self, root, face):
        for name in ("agedb_30", "cfp_fp", "other"):
            write_bin(root / f"{name}.bin", [face(), face()], [True])
        cfg = apply(root=str(root))
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            assert loader.dataset.bins == ["lfw.bin", "cfp_fp.bin", "agedb_30.bin"]
            assert loader.dataset.pipeline == VAL
            assert "max_undecodable" not in loader.dataset
        assert len(DATASETS.build(cfg.val_dataloader.dataset)) == 6

    def test_other_sets(self, root):
        (root / "lfw.bin").rename(root / "mine.bin")
        assert apply(root=str(root)).val_dataloader.dataset.bins == ["mine.bin"]
        for bins in (["mine"], ["mine.bin"], "mine"):
            cfg = apply(root=str(root), val_bins=bins)
            assert cfg.val_dataloader.dataset.bins == ["mine.bin"]

    def test_pairs(self, folders):
        (folders / "pairs.txt").write_text("imgs/ann/1.jpg imgs/bob/1.jpg 0\n")
        cfg = apply(root=str(folders), val_bins=[], val_pairs=dict(mine="pairs.txt"))
        assert list(DATASETS.build(cfg.val_dataloader.dataset).metainfo["sets"]) == ["mine"]
        with pytest.raises(DatasetError, match=r"val_pairs: mine: .*absent\.txt is not a file"):
            apply(root=str(folders), val_pairs=dict(mine="absent.txt"))

    def test_none(self, root):
        cfg = apply(root=str(root), val_bins=[])
        parts = ("dataloader", "cfg", "evaluator")
        assert [cfg[f"{s}_{part}"] for s in ("val", "test") for part in parts] == [None] * 6
        assert "save_best" not in cfg.default_hooks.checkpoint


def test_without_a_root_nothing_changes():
    assert apply().to_dict() == config().to_dict()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dict(path="x"), r"unknown keys \['path'\]"),
        (dict(val_bins=[]), "but no root"),
        (dict(root="absent"), "root='absent' is not a folder"),
        (dict(root="{root}", train_rec="a.rec"), r"train_rec: .*a\.rec is not a file"),
        (dict(root="{root}", train_img="imgs"), r"neither train\.rec, .* in 'imgs'; it holds"),
        (dict(root="{root}", train_list="a.txt"), r"a\.txt cannot be read"),
        (dict(root="{root}", val_bins=["cfp"]), r"neither cfp nor cfp\.bin; it holds \['lfw\.bin"),
    ],
)
def test_mistakes(root, data, message):
    data = {k: v.format(root=root) if isinstance(v, str) else v for k, v in data.items()}
    with pytest.raises((ValueError, DatasetError), match=message):
        apply(**data)


def test_nothing_to_evaluate_or_to_train_on(root):
    (root / "lfw.bin").unlink()
    with pytest.raises(DatasetError, match=r"no verification set.*val_bins=\[\] trains without"):
        apply(root=str(root))
    (root / "train.rec").unlink()
    with pytest.raises(DatasetError, match=r"neither train\.rec, nor .*face_data\.num_classes"):
        apply(root=str(root), val_bins=[])


def test_a_model_without_classes(root):
    cfg = config(root=str(root))
    cfg.model = dict()
    with pytest.raises(ValueError, match=r"no model\.head with num_classes"):
        FUNCTIONS.get("face_data")(cfg)
