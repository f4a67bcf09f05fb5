"""Every video config: its name and first lines are true, it takes every norm, and it trains."""

from __future__ import annotations

import ast
import copy
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from normlib import SparseSwitchNorm, SwitchNorm, SyncSparseSwitchNorm, SyncSwitchNorm
from normlib.openmmlab.commands import evaluate
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.training_speed import measure_training_speed
from tasks.results import read_metafile
from tasks.toy_data import kinetics

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "video"
TOY = FOLDER / "toy" / "i3d_r18_toy.py"
CONFIGS = sorted(path for path in FOLDER.glob("*/*.py") if path != TOY)
METAFILE = read_metafile(ROOT / "tasks" / "video" / "metafile.yml")
NAME = re.compile(
    r"i3d_r(?P<depth>50)-(?P<frames>\d+)x(?P<interval>\d+)(?P<variant>-ssn)?"
    r"_(?P<gpus>\d+)xb(?P<clips>\d+)-(?P<epochs>\d+)e_kinetics400"
)
LAYERS = {
    "BN": nn.BatchNorm3d,
    "GN": nn.GroupNorm,
    "SN": SwitchNorm,
    "SSN": SparseSwitchNorm,
    "SyncBN": nn.SyncBatchNorm,
    "SyncSN": SyncSwitchNorm,
    "SyncSSN": SyncSparseSwitchNorm,
}
SMALL = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 32,
    "model.backbone.init_cfg": None,
    "model.head.in_channels": 256,
    "model.head.num_classes": 20,
}
PAPER = FOLDER / "paper" / "i3d_r50-32x2_8xb8-109e_kinetics400.py"


def identify(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def field(path: Path, name: str) -> str:
    header = ast.get_docstring(ast.parse(path.read_text())) or ""
    (text,) = re.findall(rf"^{name}: (.*(?:\n    .*)*)", header, re.MULTILINE)
    return re.sub(r"\n\s+", " ", text)


@cache
def load_once(path: Path, options: tuple[tuple[str, object], ...]):
    return load_config(path, {"kinetics_data.root": None, **dict(options)})


def load(path: Path, **options):
    return copy.deepcopy(load_once(path, tuple(options.items())))


def build(cfg) -> nn.Module:
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def norms_of(module: nn.Module) -> set[type]:
    return {type(layer) for layer in module.modules() if isinstance(layer, tuple(LAYERS.values()))}


def step(pipeline: list[dict], name: str) -> dict:
    (found,) = [entry for entry in pipeline if entry["type"] == name]
    return found


@pytest.fixture(params=CONFIGS, ids=identify)
def described(request):
    match = NAME.fullmatch(request.param.stem)
    assert match, request.param.stem
    facts = SimpleNamespace(**match.groupdict(), family=request.param.parent.name)
    return SimpleNamespace(path=request.param, facts=facts, cfg=load(request.param))


def test_name_states_model_clips_batch_and_epochs(described):
    facts, cfg = described.facts, described.cfg
    assert cfg.model.backbone.depth == int(facts.depth)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        sampling = step(loader.dataset.pipeline, "SampleFrames")
        assert sampling.clip_len == int(facts.frames)
        assert sampling.frame_interval == int(facts.interval)
    assert cfg.train_dataloader.batch_size == int(facts.clips)
    assert cfg.auto_scale_lr.base_batch_size == int(facts.gpus) * int(facts.clips) == 64
    assert cfg.train_cfg.max_epochs == int(facts.epochs)
    own = {"paper": "SN", "modern": "BN"}[facts.family]
    assert cfg.norm_cfg.type == ("SSN" if facts.variant else own)
    hooks = {hook["type"] for hook in cfg.get("custom_hooks", [])}
    averaged = {"100": set()}.get(facts.epochs, {"BatchAverageHook"})
    assert hooks == averaged | ({"SparseScheduleHook"} if facts.variant else set())


def test_the_published_recipe(described):
    facts, cfg = described.facts, described.cfg
    steps = {"109": [41, 82], "100": [40, 80], "118": [44, 88]}[facts.epochs]
    (schedule,) = cfg.param_scheduler
    assert (schedule.milestones, schedule.gamma, schedule.by_epoch) == (steps, 0.1, True)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.01, 0.9, 1e-4)
    assert optimizer.nesterov == (facts.epochs != "100")
    assert cfg.model.head.dropout == 0.5
    backbone = cfg.model.backbone
    strides = [backbone.get(f"{name}_stride_t", 1) for name in ("conv1", "pool1")]
    assert strides == ([1, 1] if facts.frames == "8" else [2, 2])
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    if facts.epochs == "100":
        assert cfg.optim_wrapper.clip_grad.max_norm == 40
        assert step(train.pipeline, "ClipMultiScaleCrop").scales == (1, 0.8)
    else:
        side = step(train.pipeline, "ClipRandomShortSide")
        assert (side.low, side.high) == (256, 320)
        assert step(train.pipeline, "ClipRandomCrop").size == 224
    assert step(test.pipeline, "SampleFrames").num_clips == 10
    assert step(test.pipeline, "ClipResize").short_side == 256
    assert step(test.pipeline, "ClipThreeCrop").size == 256
    assert "test_mode" not in train
    assert test.test_mode


def test_norms_without_decay_as_in_the_recipes(described):
    facts = described.facts
    options = SMALL | ({"norm_cfg.type": "SN"} if not facts.variant else {})
    cfg = load(described.path, **options)
    model = build(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays = facts.epochs == "100"
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            control = name.endswith(("mean_weight", "var_weight"))
            norm = ".sn" in name or ".downsample.1." in name
            decayed = not (norm or control) or (decays and not (control and facts.variant))
            assert group["weight_decay"] == (1e-4 if decayed else 0), name
            slow = control and facts.variant
            assert group["lr"] == pytest.approx(0.001 if slow else 0.01), name


def test_first_lines(described):
    path, facts = described.path, described.facts
    command = f"tools/dist_train.sh {path.relative_to(ROOT)} {facts.gpus}"
    assert field(path, "Command") == command
    assert field(path, "Hardware") == f"{facts.gpus} GPUs, {facts.clips} clips each"
    rows = [m for m in METAFILE.models if m.config == str(path.relative_to(ROOT))]
    own = [m for m in rows if not m.options]
    assert len(own) == 1
    published = field(path, "Published")
    if own[0].published is None:
        assert published == "none published"
    else:
        for name, value in own[0].published.metrics.items():
            assert f"{name} {value}" in published
        notes = own[0].published.discrepancies
        assert f"({'; '.join([own[0].published.source, *notes])})" in published
    assert field(path, "Measured") == "not measured"
    assert not any(model.measured for model in rows)


def test_every_config_is_in_the_metafile_and_every_file_of_it_exists():
    assert {model.config for model in METAFILE.models} == {
        str(path.relative_to(ROOT)) for path in CONFIGS
    }


@pytest.mark.parametrize("model", METAFILE.models, ids=lambda model: model.name)
def test_options_of_the_metafile_give_norm_and_batch_that_it_states(model):
    options = dict(option.split("=") for option in model.options.split())
    cfg = load(ROOT / model.config, **options)
    assert cfg.norm_cfg.type == cfg.model.backbone.norm_cfg.type == model.metadata["Norm"]
    gpus, clips = map(int, model.metadata["GPUs x clips"].split(" x "))
    assert cfg.train_dataloader.batch_size == clips
    assert cfg.auto_scale_lr.base_batch_size == gpus * clips
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.01 * gpus * clips / 64)


@pytest.mark.parametrize(
    ("norm", "checkpoint", "rgb_to_bgr"),
    [
        ("BN", "torchvision://resnet50", False),
        ("GN", "open-mmlab://detectron/resnet50_gn", True),
        ("SyncSN", "checkpoints/resnet50_sn_8x32.pth", False),
    ],
)
def test_weights_and_pixels_follow_the_norm(norm, checkpoint, rgb_to_bgr):
    cfg = load(PAPER, **{"norm_cfg.type": norm})
    init_cfg = cfg.model.backbone.init_cfg
    assert (init_cfg.type, init_cfg.checkpoint) == ("Pretrained", checkpoint)
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.rgb_to_bgr == rgb_to_bgr
    assert preprocessor.mean[0] == pytest.approx(103.53 if rgb_to_bgr else 123.675)
    MODELS.build(preprocessor)


def test_runs_with_other_norms_and_batches_go_to_other_folders():
    assert load(PAPER).work_dir == f"work_dirs/{PAPER.stem}_sn"
    options = {"norm_cfg.type": "SyncSN", "batch_setting": "8x4"}
    assert load(PAPER, **options).work_dir == f"work_dirs/{PAPER.stem}_syncsn_8x4"
    assert load(PAPER, work_dir="mine").work_dir == "mine"


@pytest.mark.parametrize(
    "options",
    [
        {"type": "Pretrained", "checkpoint": "mine.pth", "prefix": "backbone."},
        {"checkpoint": "mine.pth", "prefix": "backbone."},
        {"_delete_": True, "type": "Pretrained", "checkpoint": "mine.pth", "prefix": "backbone."},
    ],
    ids=["whole", "path", "replaced"],
)
@pytest.mark.parametrize("path", [PAPER, TOY], ids=identify)
def test_weights_of_your_own(path, options, monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    cfg = load(path, **{f"model.backbone.init_cfg.{key}": v for key, v in options.items()})
    init_cfg = dict(cfg.model.backbone.init_cfg)
    init_cfg.pop("allow_missing", None)
    assert init_cfg == {"type": "Pretrained", "checkpoint": "mine.pth", "prefix": "backbone."}


@pytest.mark.parametrize("norm", LAYERS)
@pytest.mark.parametrize("path", [CONFIGS[0], PAPER, TOY], ids=identify)
def test_every_norm_goes_throughout_and_trains(path, norm):
    cfg = load(path, **SMALL, **{"norm_cfg.type": norm})
    model = build(cfg).train()
    assert norms_of(model.backbone)
    assert all(issubclass(kind, LAYERS[norm]) for kind in norms_of(model.backbone))
    if norm == "SyncBN":
        return  # PyTorch's runs on GPUs alone.
    inputs = torch.randint(256, (2, 1, 8, 32, 32, 3), dtype=torch.uint8)
    data = {"inputs": inputs, "data_samples": torch.tensor([3, 19])}
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.fixture(scope="module")
def toy_root(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("kinetics") / "toy"
    root.mkdir()
    kinetics.generate(root, kinetics.KineticsToy(train=2, val=1))
    return str(root)


@pytest.mark.parametrize("path", [*CONFIGS, TOY], ids=identify)
def test_pipelines_read_real_files(path, toy_root):
    cfg = load(path, **{"kinetics_data.root": toy_root})
    init_default_scope(cfg.default_scope)
    assert cfg.model.head.num_classes == 8
    frames = 32 if "32x2" in path.stem else 8
    side, tested, views = (64, 64, 12) if path == TOY else (224, 256, 30)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(train) == 16
    assert train[0]["inputs"].shape == (1, frames, side, side, 3)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert val[7]["inputs"].shape == (1, frames, side, side, 3)
    assert val[7]["data_samples"].item() == 7
    test = DATASETS.build(cfg.test_dataloader.dataset)
    assert test[0]["inputs"].shape == (views, frames, tested, tested, 3)


@pytest.mark.slow
def test_toy_names_its_own_command_trains_and_is_tested(toy_root, tmp_path):
    assert field(TOY, "Command") == f"tools/dist_train.sh {TOY.relative_to(ROOT)} 2"
    options = {
        "kinetics_data.root": toy_root,
        "train_cfg.max_epochs": 1,
        "train_cfg.val_interval": 1,
        "default_hooks.checkpoint.interval": 1,
        "model.backbone.with_cp": True,
    }
    cfg = load(TOY, **options)
    cfg.work_dir = str(tmp_path)
    build_runner(cfg).train()
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert metrics["accuracy/videos"] == 8

    options = {"kinetics_data.root": toy_root, "test_evaluator.out_dir": str(tmp_path)}
    metrics = evaluate(str(TOY), str(tmp_path / "epoch_1.pth"), str(tmp_path), options=options)
    assert metrics["accuracy/videos"] == 8
    assert (tmp_path / "confusion.png").stat().st_size > 0


@pytest.mark.slow
def test_toy_can_be_timed(toy_root):
    options = {"kinetics_data.root": toy_root, "train_dataloader.batch_size": 4}
    speed = measure_training_speed(str(TOY), ("BN", "SN"), rounds=1, batches=1, options=options)
    assert speed.batch_size == 4
    assert speed.loader_images_per_second > 0
