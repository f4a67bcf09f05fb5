"""Weights that trainings start from: which files, and what is said where they are not there."""

from __future__ import annotations

import pytest
import yaml

from normlib.openmmlab.launch import load_config
from tasks.benchmark import PlanError, expand, read_plan
from tasks.benchmark.configs import ConfigFacts
from tasks.benchmark.initial_weights import initial_weights, missing_weights
from tasks.benchmark.plan import ROOT
from tasks.benchmark.record import write_record
from tests.tasks.benchmark.runs import make_run, write_metrics

DETECTOR = "configs/detection/faster-rcnn_r50-sn_c4_4xb3-1x_coco.py"
SEGMENTOR = "configs/segmentation/paper/deeplab_r50-d8_8xb2-100k_ade20k.py"
CLASSIFIER = "configs/classification/toy/resnet18_toy.py"
VIDEO = "configs/video/paper/i3d_r50-32x2_8xb8-109e_kinetics400.py"
INIT = "model.backbone.init_cfg"
CONFIG = {
    "model": {
        "backbone": {"init_cfg": {"type": "Pretrained", "checkpoint": "mine/backbone.pth"}},
        "head": {
            "init_cfg": [{"type": "Normal"}, {"type": "Pretrained", "checkpoint": "head.pth"}]
        },
    },
    "load_from": None,
    "work_dir": "work_dirs/mine",
    "custom_hooks": [{"type": "Mine", "ratios_from": "checkpoints/ratios.pth"}],
}


def files(options):
    return set(initial_weights(CONFIG, options).values())


def test_files_that_a_config_names():
    assert initial_weights(CONFIG, {}) == {
        f"{INIT}.checkpoint": "mine/backbone.pth",
        "model.head.init_cfg.1.checkpoint": "head.pth",
        "custom_hooks.0.ratios_from": "checkpoints/ratios.pth",
    }


@pytest.mark.parametrize(
    ("options", "gone", "new"),
    [
        ({"load_from": "/a.pth"}, set(), {"/a.pth"}),
        ({"load_from": "https://a/b.pth", "model.pretrained": "torchvision://c"}, set(), set()),
        ({"model.pretrained": "a.pth"}, set(), {"a.pth"}),
        ({INIT: None}, {"mine/backbone.pth"}, set()),
        ({f"{INIT}._delete_": True, f"{INIT}.type": "Kaiming"}, {"mine/backbone.pth"}, set()),
        ({f"{INIT}.checkpoint": "own.pth"}, {"mine/backbone.pth"}, {"own.pth"}),
        ({"model.head.init_cfg.1": {"type": "Normal"}}, {"head.pth"}, set()),
        ({"custom_hooks": []}, {"checkpoints/ratios.pth"}, set()),
    ],
)
def test_options_take_the_place_of_what_the_config_says(options, gone, new):
    assert files(options) == (files({}) - gone) | new


@pytest.mark.parametrize("config", [SEGMENTOR, VIDEO])
@pytest.mark.parametrize(
    "options",
    [
        *({"norm_cfg.type": norm} for norm in ("BN", "SyncBN", "GN", "SN", "SyncSN", "SyncSSN")),
        {"norm_cfg.type": "SSN", "backbone_weights.SN": "own.pth"},
        {"norm_cfg.type": "SSN", "backbone_weights.SSN": "own.pth"},
        {"norm_cfg.type": "SN", "model.backbone.init_cfg": None},
        {"norm_cfg.type": "BN", "model.backbone.init_cfg.checkpoint": "own.pth"},
    ],
    ids=str,
)
def test_weights_of_a_norm_are_those_that_the_training_takes(config, options):
    chosen = load_config(ROOT / config, dict(options), needs_data=False).model.backbone.init_cfg
    expected = {chosen.checkpoint} if chosen and "://" not in chosen.checkpoint else set()
    found = initial_weights(ConfigFacts.read(config).content, options)
    assert set(found.values()) == expected


def test_weights_of_a_norm_by_their_pretraining():
    content = ConfigFacts.read(SEGMENTOR).content
    for pretraining in ("8x4", "8x32"):
        options = {"norm_cfg.type": "SSN", "pretraining": pretraining}
        chosen = load_config(ROOT / SEGMENTOR, dict(options), needs_data=False)
        (file,) = initial_weights(content, options).values()
        assert file == chosen.model.backbone.init_cfg.checkpoint


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """The problems of a plan given as a dict, in a project without checkpoints."""
    monkeypatch.setattr("tasks.benchmark.initial_weights.ROOT", tmp_path)

    def found(plan, **others):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(plan))
        try:
            expand(read_plan(path), tmp_path / "out", **others)
        except PlanError as error:
            return error.problems
        return []

    return found


def test_a_file_that_is_not_there_is_a_problem_once(problems, tmp_path):
    plan = {"norms": ["SN", "SSN", "BN"], "seeds": [0, 1], "data": {"ade20k_data": str(tmp_path)}}
    plan["tasks"] = {"segmentation": [{"model": "A", "config": SEGMENTOR}]}
    name = "resnet50_sn_8x2_segmentation"
    path = tmp_path / f"checkpoints/{name}.pth"
    assert problems(plan) == [
        f"segmentation: A, SN, seed 0 and 3 more start from {path}, which is not there; python "
        f"tools/download_checkpoint.py {name} fetches it; others can be named by "
        "backbone_weights.SN.8x2 in options"
    ]
    assert problems(plan, needs_data=False) == []
    path.parent.mkdir()
    path.touch()
    assert problems(plan) == []


def test_files_that_nobody_has_released(problems, tmp_path):
    options = {"load_from": "mine.pth", f"{INIT}.checkpoint": "mine.pth"}
    plan = {"norms": ["SN"], "options": options, "data": {"ade20k_data": str(tmp_path)}}
    plan["tasks"] = {"segmentation": [{"model": "A", "config": SEGMENTOR}]}
    (problem,) = problems(plan)
    assert "A, SN, seed 0 starts from" in problem
    assert problem.endswith(
        f"{tmp_path}/mine.pth, which is not there; others can be named by load_from and "
        f"{INIT}.checkpoint in options"
    )


def test_a_backbone_from_another_run_needs_no_file(problems, tmp_path):
    """A shared head that the config starts from a file of its own does."""
    source = {"model": "R", "config": CLASSIFIER, "toy_data": "imagenet"}
    plan = {"norms": ["SN"], "data": {"ade20k_data": str(tmp_path)}}
    plan["tasks"] = {
        "classification": [source],
        "segmentation": [{"model": "A", "config": SEGMENTOR, "pretrained": "R"}],
    }
    assert problems(plan) == []
    plan["data"]["coco_data"] = str(tmp_path)
    plan["tasks"]["detection"] = [{"model": "B", "config": DETECTOR, "pretrained": "R"}]
    (problem,) = problems(plan)
    assert f"{tmp_path}/checkpoints/resnet50_sn_8x2.pth, which is not there" in problem
    assert "model.roi_head.shared_head.init_cfg.checkpoint in options" in problem


def test_what_is_done_needs_no_file(tmp_path):
    run = make_run(tmp_path, options={"load_from": "/none.pth"})
    assert len(missing_weights([run], {run.config: {}})) == 1
    write_record(run, "mine", [])
    write_metrics(run.work_dir)
    assert missing_weights([run], {run.config: {}}) == []


class TestWeightsOfAnotherNorm:
    """Which a config names for its own norm, and a plan would have others start from."""

    @pytest.fixture
    def plan(self, tmp_path):
        detector = {"model": "A", "config": DETECTOR}
        data = {"coco_data": str(tmp_path)}
        return {"norms": ["BN", "SN", "SSN"], "data": data, "tasks": {"detection": [detector]}}

    def test_are_a_problem_before_it_starts(self, problems, plan):
        found = problems({**plan, "seeds": [0, 1]}, needs_data=False)
        assert len(found) == 2  # backbone and shared head
        assert (
            "detection: A, BN, seed 0 and 1 more would start from checkpoints/resnet50_sn_8x2.pth, "
            f"which {DETECTOR} has for SN; give pretrained, or others in norm_options: "
            f"{{BN: {{{INIT}.checkpoint: PATH}}}}"
        ) in found

    @pytest.mark.parametrize(
        "entry",
        [
            {"norms": ["SN", "SyncSN", "SSN"]},
            {"options": {"allow_missing_weights": ["backbone"]}},
            {
                "norm_options": {
                    "BN": {
                        f"{INIT}.checkpoint": "torchvision://resnet50",
                        "model.roi_head.shared_head.init_cfg": None,
                    }
                }
            },
        ],
    )
    def test_are_none_where_the_plan_says_so(self, problems, plan, entry):
        plan["tasks"]["detection"][0] |= entry
        assert problems(plan, needs_data=False) == []

    def test_serve_sn_with_bn_to_sn(self, problems, plan):
        entry = plan["tasks"]["detection"][0]
        entry |= {"config": "configs/detection/faster-rcnn_r50-bn_fpn_8xb2-1x_coco.py"}
        (problem,) = problems({**plan, "norms": ["BN", "SyncBN", "SyncSN"]}, needs_data=False)
        assert "A, SyncSN, seed 0 would start from torchvision://resnet50, which" in problem
        entry["options"] = {"bn_to_sn": "uniform"}
        assert problems(plan, needs_data=False) == []
        (problem,) = problems({**plan, "norms": ["GN", "SN"]}, needs_data=False)
        assert "A, GN, seed 0" in problem
