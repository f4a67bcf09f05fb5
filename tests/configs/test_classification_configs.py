"""Every classification config: its name and first lines are true, and its model trains."""

from __future__ import annotations

import ast
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope
from PIL import Image
from torch import nn

from normlib import SparseSwitchNorm, SwitchNorm
from normlib.openmmlab.launch import build_runner, load_config
from tasks.results import read_metafile
from tasks.toy_data import imagenet

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "classification"
CONFIGS = sorted(FOLDER.glob("*.py"))
TOY = FOLDER / "toy" / "resnet18_toy.py"
METAFILE = read_metafile(ROOT / "tasks" / "classification" / "metafile.yml")
NAME = re.compile(
    r"resnet(?P<depth>\d+)(?P<v2>v2)?-(?P<norm>[a-z]+?)(?P<hard>hard)?_(?P<gpus>\d+)xb(?P<images>\d+)"
    r"-(?P<scratch>scratch-)?(?P<cosine>coslr-)?(?P<epochs>\d+)e(?P<average>-bavg)?_imagenet"
)
NORMS = {
    "bn": nn.BatchNorm2d,
    "gn": nn.GroupNorm,
    "sn": SwitchNorm,
    "ssn": SparseSwitchNorm,
    "syncsn": SwitchNorm,
}
SETTINGS = ["8x32", "8x16", "8x8", "8x4", "8x2", "1x16", "1x32", "8x1", "1x8"]
LAYERS = (nn.BatchNorm2d, nn.GroupNorm, SwitchNorm)


def identify(path: Path) -> str:
    return path.stem


def header(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def field(path: Path, name: str) -> str:
    (line,) = [x for x in header(path).splitlines() if x.startswith(f"{name}: ")]
    return line.removeprefix(f"{name}: ")


def load(path: Path, **options):
    return load_config(path, {"imagenet_data.root": None, **options})


@pytest.fixture(params=CONFIGS, ids=identify)
def described(request):
    match = NAME.fullmatch(request.param.stem)
    assert match, request.param.stem
    return SimpleNamespace(
        path=request.param, facts=SimpleNamespace(**match.groupdict()), cfg=load(request.param)
    )


def test_name_states_model_batch_and_schedule(described):
    facts, cfg = described.facts, described.cfg
    assert cfg.model.backbone.depth == int(facts.depth)
    assert (cfg.model.backbone.type == "PreActResNet") == bool(facts.v2)
    assert cfg.train_dataloader.batch_size == int(facts.images)
    assert cfg.auto_scale_lr.base_batch_size == int(facts.gpus) * int(facts.images) == 256
    assert cfg.optim_wrapper.optimizer.lr == 0.1
    assert cfg.train_cfg.max_epochs == int(facts.epochs)
    assert cfg.param_scheduler[-1].type == ("CosineAnnealingLR" if facts.cosine else "MultiStepLR")
    hooks = {hook["type"]: hook for hook in cfg.get("custom_hooks", [])}
    assert ("HardenHook" in hooks) == bool(facts.hard)
    assert ("BatchAverageHook" in hooks) == bool(facts.average)
    if facts.hard:
        scratch = facts.scratch is not None
        assert cfg.resume is not scratch
        assert ("ratios_from" in hooks["HardenHook"]) == scratch


def test_the_rate_follows_its_schedule(described):
    """Warm-up, the steps or the cosine, over all epochs of 5 iterations."""
    cfg = described.cfg
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=0.1)
    schedulers = []
    for entry in map(dict, cfg.param_scheduler):
        cls = PARAM_SCHEDULERS.get(entry.pop("type"))
        if entry.pop("convert_to_iter_based", False):
            cls = partial(cls.build_iter_from_epoch, epoch_length=5)
        schedulers.append(cls(optimizer=optimizer, **entry))
    rates = []
    for step in range(5 * cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or step % 5 == 4:
                scheduler.step()
    if described.facts.cosine:
        assert rates[0] < 1e-3
        assert rates[25] == pytest.approx(0.1, rel=1e-2)
        assert rates[(5 + 115 // 2) * 5] == pytest.approx(0.05, rel=0.02)
        assert rates[-1] < 1e-5
    else:
        assert rates[::150] == pytest.approx([0.1, 0.01, 1e-3, 1e-4], rel=1e-6)


def test_first_lines(described):
    path = described.path
    command = f"tools/dist_train.sh {path.relative_to(ROOT)} 8"
    assert field(path, "Command") == command
    (model,) = [m for m in METAFILE.models if m.name == path.stem]
    published = field(path, "Published")
    for metric, value in model.published.metrics.items():
        assert re.search(rf"{metric} {value:.2f}0*|{metric} {value}\b", published), (metric, value)
    assert all(key in published for key in model.published.discrepancies)
    measured = field(path, "Measured")
    assert measured == "not measured" if not model.measured else model.measured


def test_model_has_its_norm_and_trains(described):
    facts, cfg = described.facts, described.cfg
    init_default_scope("mmdet")
    # The depth is in the name and costs time here.
    model = MODELS.build(cfg.model).train()
    layers = [m for m in model.modules() if isinstance(m, LAYERS)]
    assert {type(layer) for layer in layers} == {NORMS[facts.norm]}
    assert all(layer.training for layer in layers)
    data = {"inputs": torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8),
            "data_samples": torch.tensor([3, 999])}  # fmt: skip
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    assert model.head.fc.weight.grad.abs().sum() > 0


def test_pipelines_give_images_of_224(described, tmp_path):
    Image.new("RGB", (300, 260), (9, 99, 200)).save(tmp_path / "1.jpg")
    cfg = described.cfg
    pipelines = [cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline]
    for hook in cfg.get("custom_hooks", []):
        if "switch_epoch" in hook:
            pipelines.append(hook.switch_pipeline)
        if "dataloader" in hook:
            pipelines.append(hook.dataloader.dataset.pipeline)
    for pipeline in pipelines:
        sample = Compose(pipeline)({"img_path": str(tmp_path / "1.jpg"), "label": 7})
        assert sample["inputs"].shape == (3, 224, 224)
        assert sample["inputs"].dtype == torch.uint8
        assert sample["data_samples"] == 7


def test_every_config_is_in_the_metafile_and_every_file_of_it_exists():
    assert {model.config for model in METAFILE.models} == {
        str(path.relative_to(ROOT)) for path in CONFIGS
    }


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("norm", ["bn", "gn", "sn", "ssn"])
def test_every_column_of_table_ii_is_one_key(norm, setting):
    cfg = load(FOLDER / f"resnet50-{norm}_8xb32-100e_imagenet.py", batch_setting=setting)
    gpus, images = map(int, setting.split("x"))
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * gpus * images / 256)
    assert cfg.train_dataloader.batch_size == images
    assert cfg.work_dir.endswith(f"resnet50-{norm}_8xb32-100e_imagenet_{setting}")
    assert cfg.model.backbone.norm_cfg.get("normalizers") == (
        ("in", "ln") if images == 1 and "sn" in norm else None
    )


def test_weight_decay_is_on_every_parameter_of_sn():
    cfg = load(FOLDER / "resnet50-sn_8xb32-100e_imagenet.py", **{"model.backbone.depth": 18,
               "model.head.in_channels": 512})  # fmt: skip
    init_default_scope("mmdet")
    wrapper = build_optim_wrapper(MODELS.build(cfg.model), cfg.optim_wrapper)
    groups = wrapper.optimizer.param_groups
    assert {group["weight_decay"] for group in groups} == {1e-4}


def test_control_parameters_of_ssn_have_their_own_settings():
    cfg = load(FOLDER / "resnet50-ssn_8xb32-100e_imagenet.py", **{"model.backbone.depth": 18,
               "model.head.in_channels": 512})  # fmt: skip
    init_default_scope("mmdet")
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    control = {id(p) for n, p in model.named_parameters() if n.endswith(("mean_weight",
               "var_weight"))}  # fmt: skip
    found = {
        (id(p) in control): (group["lr"], group["weight_decay"])
        for group in wrapper.optimizer.param_groups
        for p in group["params"]
    }
    assert found == {True: (pytest.approx(0.01), 0.0), False: (0.1, 1e-4)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    imagenet.generate(folder, imagenet.ImageNetToy(train=8, val=2, size=32))
    return folder


class TestToy:
    @pytest.mark.parametrize("norm", ["BN", "GN", "SN", "SyncSN", "SSN"])
    def test_takes_every_norm_and_trains(self, norm, data, tmp_path):
        options = {
            "imagenet_data.root": str(data),
            "norm_cfg.type": norm,
            "train_cfg.max_epochs": 1,
            "train_cfg.val_interval": 1,
            "param_scheduler": [],
            "work_dir": str(tmp_path),
        }
        runner = build_runner(load_config(TOY, options))
        runner.train()
        model = runner.model
        layers = [m for m in model.modules() if isinstance(m, LAYERS)]
        assert layers
        assert all(isinstance(layer, NORMS[norm.lower()]) for layer in layers)
        assert model.head.num_classes == 8
        top1, top5 = (
            runner.message_hub.get_scalar(f"val/accuracy/{k}").current() for k in ("top1", "top5")
        )
        assert 0 <= top1 <= top5 <= 100

    def test_names_its_own_command(self):
        assert field(TOY, "Command") == f"tools/dist_train.sh {TOY.relative_to(ROOT)} 2"

    def test_the_backbone_is_that_of_the_toy_detectors(self):
        detector = load_config(ROOT / "configs/detection/toy/faster-rcnn_r18_fpn_toy.py",
                               {"coco_data.root": None})  # fmt: skip
        init_default_scope("mmdet")
        ours = MODELS.build(load(TOY).model.backbone).state_dict()
        theirs = MODELS.build(detector.model.backbone).state_dict()
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
