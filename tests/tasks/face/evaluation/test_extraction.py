from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

import tasks.face.evaluation  # noqa: F401
from tasks.face.evaluation.extraction import extraction_options

PIPELINE = [dict(type="DecodeFace"), dict(type="PackFace")]


@pytest.fixture
def cfg():
    return Config(
        dict(
            model=dict(
                type="FaceRecognizer", flip=False, head=dict(type="PartialFC", num_classes=9)
            ),
            face_data=dict(root="nowhere"),
            default_hooks=dict(logger=dict(type="LoggerHook", interval=100)),
            test_dataloader=dict(
                batch_size=7,
                persistent_workers=True,
                collate_fn=dict(type="own_collate"),
                dataset=dict(type="VerificationDataset", bins=["lfw.bin"], pipeline=PIPELINE),
            ),
            test_evaluator=[dict(type="FaceVerification")],
        ),
        filename=None,
    )


def changed(cfg, dataset, **options):
    """The config as an evaluation reads it, with a user's option before."""
    given = extraction_options(cfg, "best.pth", Path("/data/out"), dataset, **options)
    cfg.merge_from_dict({"face_data.root": "elsewhere", "model.head.num_classes": 5, **given})
    return cfg


def test_data_and_evaluator_take_the_place_of_the_configs(cfg):
    dataset = dict(type="FaceListDataset", data_root="images")
    found = changed(cfg, dataset, batch_size=3, workers=0, force=True)
    assert found.test_dataloader == dict(
        batch_size=3,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="own_collate"),
        dataset=dict(type="FaceListDataset", data_root="images", pipeline=PIPELINE),
    )
    assert found.test_evaluator == dict(
        type="EmbeddingWriter",
        out_dir="/data/out",
        about=dict(config=None, checkpoint="best.pth", flip=False, images=dict(data_root="images")),
        force=True,
    )
    assert found.face_data == {}
    assert found.default_hooks.logger == dict(type="LoggerHook", interval=10)


def test_ijb_images_are_aligned(cfg):
    found = changed(cfg, dict(type="FaceLandmarkDataset", data_root="a", meta_dir="b"))
    pipeline = found.test_dataloader.dataset.pipeline
    assert [step.type for step in pipeline] == ["DecodeAlignedFace", "PackFace"]


def test_a_config_without_evaluation_and_of_another_model():
    cfg = Config(dict(model=dict(type="Own", head=dict(type="Part")), test_dataloader=None))
    given = extraction_options(cfg, "x.pth", Path("out"), dict(type="FaceListDataset", rec="r"))
    cfg.merge_from_dict(given)
    assert cfg.test_dataloader.dataset.pipeline == PIPELINE
    assert cfg.test_dataloader.collate_fn == dict(type="face_collate")
    assert cfg.model.head == dict(type="Part")
    assert "face_data" not in cfg
