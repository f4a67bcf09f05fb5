"""No file of data runs code, whichever reader opens it."""

from __future__ import annotations

import pickle

import mmengine
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before mmdet is imported)
import tasks.detection
import tasks.face  # noqa: F401
from normlib.openmmlab.errors import ConfigError
from tasks.data_checks import DatasetError
from tasks.detection.datasets.annotation_file import read_annotation_file, read_class_names
from tasks.face.datasets.verification_bin import read_bin
from tasks.face.evaluation.embedding_folder import EmbeddingFolder
from tasks.face.evaluation.megaface.lists import read_distractor_list
from tasks.results import MetafileError, read_metafile
from tasks.toy_data import coco
from tests.security.payloads import Touch

HOSTILE_YAML = "a: 1\nb: !!python/object/apply:builtins.open ['{mark}', 'w']\n"
DEEP = "[" * 200_000


@pytest.fixture
def mark(tmp_path):
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_verification_set(protocol, mark, tmp_path):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([Touch(mark)], [True]), protocol))
    readers = (
        lambda: read_bin(path),
        lambda: DATASETS.build(dict(type="FaceListDataset", bin=str(path))),
        lambda: DATASETS.build(dict(type="VerificationDataset", bins=[str(path)])),
    )
    for read in readers:
        with pytest.raises(DatasetError, match=r"lfw\.bin contains code"):
            read()


@pytest.mark.parametrize("name", ["train.rec", "train.idx", "property", "classes.txt", "list.txt"])
def test_files_of_faces(name, mark, tmp_path):
    content = pickle.dumps(Touch(mark), 0)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "train.rec").touch()
    records = dict(type="FaceRecordDataset", rec=str(tmp_path / "train.rec"))
    listed = dict(type="FaceListDataset", data_root=str(tmp_path), ann_file="list.txt")
    for kind in (records, listed):
        with pytest.raises(DatasetError):
            DATASETS.build(kind)


def test_embeddings(mark, tmp_path):
    np.save(tmp_path / "embeddings.npy", np.array([[Touch(mark)]], object), allow_pickle=True)
    (tmp_path / "names.txt").write_text("a\n")
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"embeddings\.npy is not a whole \.npy file of numbers"):
        EmbeddingFolder.open(tmp_path)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle"])
def test_pickles_that_mmengine_would_load(suffix, mark, tmp_path):
    path = tmp_path / f"annotations{suffix}"
    path.write_bytes(pickle.dumps(Touch(mark)))
    with pytest.raises(ConfigError, match="is not read: a pickle can run any program"):
        mmengine.load(path)


def test_proposals_of_a_detector(mark, tmp_path):
    folder = tmp_path / "coco"
    folder.mkdir()
    coco.generate(folder, coco.CocoToy(train=2, val=2, size=64))
    proposals = tmp_path / "proposals.pkl"
    proposals.write_bytes(pickle.dumps(Touch(mark)))
    annotations = folder / "annotations" / "instances_train.json"
    config = dict(
        type="mmdet.CheckedCocoDataset",
        ann_file=str(annotations),
        data_prefix=dict(img=str(folder / "train")),
        proposal_file=str(proposals),
        metainfo=dict(classes=read_class_names(annotations)),
    )
    with pytest.raises(ConfigError, match="proposal_file"):
        DATASETS.build(config)


def test_yaml(mark, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(HOSTILE_YAML.format(mark=mark))
    with pytest.raises(ConfigError, match="is not YAML that holds data alone"):
        Config.fromfile(path)
    with pytest.raises(MetafileError):
        read_metafile(path)


def test_yaml_of_mmengine_is_read(tmp_path):
    path = tmp_path / "config.yml"
    Config(dict(a=(1, 2.5), b=dict(c=[None, True, "text"]))).dump(path)
    assert Config.fromfile(path)._cfg_dict == dict(a=(1, 2.5), b=dict(c=[None, True, "text"]))


@pytest.mark.parametrize("read", [read_annotation_file, read_distractor_list])
@pytest.mark.parametrize("text", [DEEP, '{"path": 1' + "0" * 5000 + "}"], ids=["deep", "long"])
def test_json_that_exhausts_a_reader_is_an_error_of_the_data(read, text, tmp_path):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"list\.json is not JSON"):
        read(path)
