"""From plans to runs: what each is run with, what it waits for, and what keeps it from running."""

from __future__ import annotations

import pytest
import yaml

from tasks.benchmark import PlanError, expand, read_plan
from tasks.benchmark.devices import Devices
from tasks.benchmark.plan import ROOT, find_plan
from tasks.benchmark.record import write_record
from tasks.results import read_metafile

CLASSIFIER = "configs/classification/toy/resnet18_toy.py"
DETECTOR = "configs/detection/toy/faster-rcnn_r18_fpn_toy.py"
SEGMENTOR = "configs/segmentation/toy/deeplab_r18_toy-ade20k.py"
RESNET = "configs/classification/resnet50-bn_8xb32-100e_imagenet.py"
EVALUATION = "deeplab_r50-d8-released_8xb2-100k_ade20k"


@pytest.fixture
def runs(tmp_path):
    """The runs of a plan given as a dict."""

    def expanded(plan, **others):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(plan))
        return expand(read_plan(path), tmp_path / "out", **others)

    return expanded


def model(config=CLASSIFIER, name="A", **others):
    return {"model": name, "config": config, "toy_data": "imagenet", **others}


def test_a_run_for_every_norm_seed_and_batch_setting(runs, tmp_path):
    plan = {
        "norms": ["BN", "SN"],
        "seeds": [0, 4],
        "tasks": {"classification": [model(batch_settings=["2x16", "1x8"])]},
    }
    found = runs(plan)
    assert len({run.work_dir for run in found}) == len(found) == 8
    run = found[-1]
    assert (run.norm, run.seed, run.batch_setting, run.processes) == ("SN", 4, "1x8", 1)
    assert run.work_dir == tmp_path / "out/classification/resnet18_toy_sn_1x8_seed4"
    assert run.command == [
        "tools/dist_train.sh", CLASSIFIER, "1", "--work-dir", str(run.work_dir), "--resume",
        "--cfg-options", "norm_cfg.type=SN", "batch_setting=1x8", "randomness.seed=4",
        f"imagenet_data.root={tmp_path}/out/data/toy_imagenet",
    ]  # fmt: skip


def test_options_of_the_model_and_of_the_norm_go_last(runs):
    plan = {
        "norms": ["GN", "SN"],
        "iterations": 5,
        "tasks": {
            "classification": [
                model(
                    options={"train_cfg.max_epochs": 2, "env_cfg": {"b": [1, 2], "c.d": 3}},
                    norm_options={"GN": {"norm_cfg.num_groups": 4}},
                )
            ]
        },
    }
    first, second = runs(plan)
    assert first.options["norm_cfg.num_groups"] == 4
    assert "norm_cfg.num_groups" not in second.options
    assert second.options["train_cfg.max_iters"] == 5
    assert "train_cfg.max_epochs" not in second.options
    assert {"env_cfg.b=[1,2]", "env_cfg.c.d=3"} <= set(second.command)


def test_weights_come_from_the_same_norm_or_the_one_that_it_starts_from(runs):
    norms = ["BN", "SyncBN", "SN", "SyncSN", "SSN", "SyncSSN"]
    plan = {
        "norms": norms,
        "tasks": {
            "detection": [model(DETECTOR, "B", toy_data="coco", pretrained="A")],
            "classification": [model(norms=["BN", "SN", "SSN"])],
        },
    }
    found = runs(plan)
    assert [run.task for run in found[:3]] == ["classification"] * 3, "others need these"
    sources = {run.norm: run.needs[0] for run in found[3:]}
    assert {norm: source.norm for norm, source in sources.items()} == {
        "BN": "BN", "SyncBN": "BN", "SN": "SN", "SyncSN": "SN", "SSN": "SSN", "SyncSSN": "SSN",
    }  # fmt: skip
    checkpoint = found[-1].options["model.backbone.init_cfg.checkpoint"]
    assert checkpoint == str(sources["SyncSSN"].work_dir / "weights.pth")


class TestWeightsOfSeveralRuns:
    """That could serve a model."""

    @staticmethod
    def plan(pretrained):
        return {
            "norms": ["SN"],
            "seeds": [0, 1],
            "tasks": {
                "detection": [model(DETECTOR, "B", toy_data="coco", pretrained=pretrained)],
                "classification": [model(batch_settings=["2x16", "1x8"])],
                "segmentation": [model(SEGMENTOR, toy_data="ade20k")],
            },
        }

    def test_are_a_problem(self, runs):
        with pytest.raises(PlanError) as caught:
            runs(self.plan("A"))
        assert caught.value.problems == [
            "tasks.detection: B starts from A, of which the plan trains several, classification "
            f"2x16, classification 1x8, segmentation {SEGMENTOR}; choose one: pretrained: "
            "{model: A, task: TASK, batch_setting: GPUSxSAMPLES}"
        ]

    @pytest.mark.parametrize(
        ("chosen", "task", "setting"),
        [
            ({"batch_setting": "1x8"}, "classification", "1x8"),
            ({"task": "segmentation"}, "segmentation", None),
        ],
    )
    def test_are_told_apart(self, runs, chosen, task, setting):
        found = runs(self.plan({"model": "A", **chosen}))
        for run in found:
            if run.model == "B":
                (source,) = run.needs
                assert (source.task, source.batch_setting) == (task, setting)
                assert source.seed == run.seed
                assert found.index(source) < found.index(run)

    @pytest.mark.parametrize("chosen", [{"batch_setting": "8x4"}, {"task": "face"}])
    def test_may_lack_the_chosen_one(self, runs, chosen):
        words = r"B with SN starts from (A 8x4|face: A) with SN, which the plan does not train"
        with pytest.raises(PlanError, match=words):
            runs(self.plan({"model": "A", **chosen}))


def test_models_that_start_from_each_other_in_a_line(runs):
    plan = {
        "norms": ["SN"],
        "tasks": {
            "detection": [model(DETECTOR, "C", toy_data="coco", pretrained="B")],
            "classification": [model(RESNET, "B", pretrained="A"), model()],
        },
    }
    assert [run.model for run in runs(plan)] == ["A", "B", "C"]
    plan["tasks"]["classification"][1]["pretrained"] = "B"
    with pytest.raises(PlanError) as caught:
        runs(plan, needs_data=False)
    assert caught.value.problems == ["pretrained goes in a circle: B from A from B"]


def test_weights_that_nothing_gives_are_a_problem(runs):
    plan = {
        "norms": ["GN"],
        "tasks": {
            "detection": [model(DETECTOR, "B", toy_data="coco", pretrained="A")],
            "classification": [model(norms=["BN"])],
        },
    }
    with pytest.raises(PlanError, match="B with GN starts from A with GN, which the plan does not"):
        runs(plan)


def test_problems_of_all_models_at_once(runs, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise ValueError('no')")
    plan = {
        "norms": ["SN"],
        "data": {"coco_data": str(tmp_path / "none")},
        "tasks": {
            "classification": [
                {"model": "A", "config": RESNET},
                model(name="B"),
                model(name="C"),
                model(str(broken), "D"),
                {"rows": ["resnet50-bn_8xb32-100e_imagenet", "resnet5"]},
            ],
            "detection": [
                {"model": "E", "config": DETECTOR},
                model(DETECTOR, "F", batch_settings=["1x2"]),
            ],
        },
    }
    with pytest.raises(PlanError) as caught:
        runs(plan)
    for words in (
        f"classification: {ROOT}/data/imagenet is not a folder of data; give its place by data.im",
        "two entries give resnet18_toy_sn_seed0",
        "broken.py: ValueError: no",
        "row 'resnet5' is not in tasks/classification/metafile.yml",
        f"data.coco_data: {tmp_path}/none is not a folder",
        f"{DETECTOR} does not support batch_setting (plan: '1x2')",
    ):
        assert [problem for problem in caught.value.problems if words in problem], words


def test_problems_of_a_file_and_of_its_runs_at_once(runs, tmp_path):
    """Without what follows from others: each is to be mended once."""
    foreign = tmp_path / "out/classification/resnet18_toy_sn_seed0"
    foreign.mkdir(parents=True)
    (foreign / "notes.txt").touch()
    plan = {
        "data": {"coco_data": "/nope", "kinetics_data": "/nope"},
        "tasks": {
            "classification": [model(norms=["SN"]), model(norms=["XN"], name="B")],
            "detection": [
                model(DETECTOR, "C", norms=["BN"], toy_data="coko", pretrained="B"),
                {"model": "D", "config": DETECTOR, "norms": ["SN"], "pretrained": "E"},
                {"model": "E", "config": "configs/no.py", "norms": ["SN"], "options": {"zzz": 1}},
            ],
            "segmentation": [
                3,
                {"rows": [EVALUATION, "deeplab"], "norms": ["GN"], "minutes": 0},
                model(SEGMENTOR, "F", norms=["SN"], toy_data="ade20k", options={"zzz": 1}),
                model(SEGMENTOR, "G", norms=["SN"], toy_data="ade20k", batch_settings=["two"]),
            ],
            "fase": [{"rows": "published"}],
        },
    }
    with pytest.raises(PlanError) as caught:
        runs(plan)
    expected = [
        "tasks.classification[1]: norms: 'XN' is unknown",
        "tasks.detection[0].toy_data: 'coko' is unknown",
        "tasks.detection[2].config: ",
        "tasks.segmentation[0] is 3",
        "tasks.segmentation[1].minutes is 0",
        "tasks.segmentation[3]: batch_settings has 'two'",
        "tasks: 'fase' is unknown",
        f"tasks.segmentation: row '{EVALUATION}' is an evaluation of released weights",
        "tasks.segmentation: row 'deeplab' is not in ",
        "data.coco_data: /nope is not a folder",
        "data.kinetics_data: /nope is not a folder",
        "tasks.segmentation: F: options: zzz: nothing reads 'zzz'",
        f"{foreign} contains files that are not from this run",
    ]
    for words in expected:
        assert [problem for problem in caught.value.problems if words in problem], words
    assert len(caught.value.problems) == len(expected)


def test_what_is_done_is_no_foreign_run_because_of_a_slip_in_the_plan(runs):
    """What the plan means its command to be is not known before that is mended."""
    entries = [model(processes=2), model(SEGMENTOR, "B", toy_data="ade20k", processes=2)]
    plan = {"norms": ["SN"], "tasks": {"classification": entries}}
    for run in runs(plan):
        write_record(run, "mine", [])
    entries[0]["processes"] = "two"
    with pytest.raises(PlanError) as caught:
        runs(plan)
    (problem,) = caught.value.problems
    assert "processes is 'two'" in problem

    entries[1]["processes"] = 4
    with pytest.raises(PlanError) as caught:
        runs(plan)
    _, problem = caught.value.problems
    assert "deeplab_r18_toy-ade20k_sn_seed0 holds a run with other settings: 2 there, 4" in problem


def test_a_misspelt_key_of_data_is_named_once(runs):
    plan = {"norms": ["SN"], "data": {"cocodata": "/nope"}}
    plan["tasks"] = {"classification": [model(minutes=-1)]}
    with pytest.raises(PlanError) as caught:
        runs(plan)
    assert caught.value.problems == [
        "tasks.classification[0].minutes is -1; it must be a positive number",
        "data.cocodata: no config of the plan takes it",
    ]


class TestGPUs:
    """Of a machine, which may be fewer than the runs of a plan take."""

    PLAN = {
        "norms": ["SN"],
        "processes": 2,
        "tasks": {
            "classification": [model(), model(name="B", batch_settings=["4x8", "2x16", "1x8"])],
            "face": [{"model": "C", "config": "configs/face/toy/arcface_ir18_toy.py"}],
        },
    }

    @pytest.mark.parametrize(("gpus", "processes"), [([], 2), ([3], 1), ([0, 1, 2], 2)])
    def test_serve_runs_on_generated_data(self, runs, gpus, processes):
        found = runs(self.PLAN, needs_data=False, devices=Devices(gpus))
        assert found[0].processes == processes
        assert found[0].command[2] == str(processes)

    def test_do_not_serve_others(self, runs, tmp_path):
        plan = {**self.PLAN, "data": {"face_data": str(tmp_path)}, "seeds": [0, 1]}
        with pytest.raises(PlanError) as caught:
            runs(plan, devices=Devices([0]))
        assert [problem.split("; ")[0] for problem in caught.value.problems] == [
            "classification: B, SN, 4x8, seed 0 and 1 more take 4 GPUs, of which there are 1",
            "classification: B, SN, 2x16, seed 0 and 3 more take 2 GPUs, of which there are 1",
        ]
        assert "change processes or batch_settings" in caught.value.problems[0]
        assert runs(plan, devices=Devices(range(4)))
        assert runs(plan, devices=Devices())


def test_options_that_say_nothing_to_any_config_that_they_are_for(runs):
    """What is shared may be meant for some of the configs."""
    plan = {
        "norms": ["SN"],
        "options": {"optim_wraper.optimizer.lr": 0.1, "coco_data.classes": ["cat"]},
        "tasks": {
            "classification": [
                model(norm_options={"GN": {"norm_confg.num_groups": 4}}),
                {"rows": ["resnet50-sn_8xb32-100e_imagenet"], "options": {"batch_seting": "1x8"}},
            ],
            "segmentation": [model(SEGMENTOR, "B", toy_data="ade20k")],
            "detection": [model(DETECTOR, "C", toy_data="coco", options={"batch_setting": "1x8"})],
        },
    }
    with pytest.raises(PlanError) as caught:
        runs(plan, needs_data=False)
    meant = "nothing reads 'optim_wraper'; did you mean 'optim_wrapper'?"
    assert f"options: optim_wraper.optimizer.lr: {meant}" in caught.value.problems
    for words in (
        "tasks.classification: A: options: norm_confg.num_groups: nothing reads 'norm_confg'",
        "tasks.classification: rows: options: batch_seting: nothing reads 'batch_seting'; did you",
        "tasks.detection: C: options: batch_setting: nothing reads 'batch_setting'",
    ):
        assert [problem for problem in caught.value.problems if words in problem], words
    assert len(caught.value.problems) == 4


def test_data_of_a_plan_go_to_the_configs_that_take_them(runs, tmp_path):
    for name in ("ade", "city"):
        (tmp_path / name).mkdir()
    plan = {
        "data": {"ade20k_data": str(tmp_path / "ade"), "cityscapes_data": str(tmp_path / "city")},
        "tasks": {"segmentation": [{"rows": "published"}]},
    }
    for run in runs(plan, needs_data=False):
        name = "ade" if "ade20k" in run.config else "city"
        switches = {key: value for key, value in run.options.items() if key.endswith("_data.root")}
        assert list(switches.values()) == [str(tmp_path / name)]


def test_rows_are_run_as_the_metafile_says(runs):
    plan = {"tasks": {"classification": [{"rows": "published"}]}, "seeds": [2]}
    found = {run.row: run for run in runs(plan, needs_data=False)}
    run = found["resnet50-sn_1xb16-100e_imagenet"]
    assert (run.norm, run.processes, run.options["batch_setting"]) == ("SN", 1, "1x16")
    assert run.model == "ResNet-50 by batch setting"

    # Hard ratios are taken from a training that is another row.
    hard = found["resnet50-snhard90_8xb32-100e_imagenet"]
    (source,) = hard.needs
    assert source.row == "resnet50-sn_8xb32-100e_imagenet"
    assert hard.options["load_from"] == str(source.work_dir / "epoch_90.pth")
    by_config = found["resnet50-snhard_8xb32-scratch-100e_imagenet"]
    (place,) = (key for key in by_config.options if key.endswith(".ratios_from"))
    assert by_config.options[place] == str(source.work_dir / "epoch_30.pth")


def test_rows_that_go_on_from_what_nothing_makes(runs, tmp_path):
    (tmp_path / "faces").mkdir()
    plan = {"data": {"face_data": str(tmp_path / "faces")}}
    plan["tasks"] = {"face": [{"rows": "published"}]}
    with pytest.raises(PlanError, match=r"row arcface_ir50-hard_.* which no run of the plan makes"):
        runs(plan)
    plan["tasks"]["face"][0]["without"] = ["arcface_ir50-hard_8xb64-10e_ms1mv2"]
    assert "arcface_ir50-hard_8xb64-10e_ms1mv2" not in {run.row for run in runs(plan)}
    plan["tasks"]["face"][0]["without"] = ["arcface"]
    with pytest.raises(PlanError, match="row 'arcface' is not in"):
        runs(plan)


def test_rows_can_be_chosen_by_norm(runs):
    plan = {"norms": ["SN"], "tasks": {"video": [{"rows": "all"}]}}
    found = runs(plan, needs_data=False)
    assert found
    assert {run.norm for run in found} == {"SN"}

    plan = {"norms": ["BN"], "tasks": {"detection": [{"rows": "published"}]}}
    norms = {run.row: run.norm for run in runs(plan, needs_data=False)}
    assert norms["faster-rcnn_r50-bn_c4_4xb3-1x_coco"] == "BN"
    assert norms["faster-rcnn_r50-bnfrozen_fpn-snhead_8xb2-1x_coco"] == "BN, frozen; head SN"


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_own_plans_on_generated_data(name, tmp_path):
    found = expand(read_plan(find_plan(name)), tmp_path)
    assert {run.task for run in found} == {
        *("classification", "detection", "segmentation", "face", "video")
    }
    places = {id(run): place for place, run in enumerate(found)}
    for run in found:
        assert all(places[id(need)] < places[id(run)] for need in run.needs)


@pytest.mark.slow
def test_the_plan_of_the_papers_has_every_published_training(tmp_path):
    found = expand(read_plan(find_plan("paper")), tmp_path, needs_data=False)
    published = {
        model.name
        for path in ROOT.glob("tasks/*/metafile.yml")
        for model in read_metafile(path).models
        if model.published is not None and not model.evaluation_only
    }
    assert {run.row for run in found} == published - {"arcface_ir50-hard_8xb64-10e_ms1mv2"}
    assert EVALUATION not in published
