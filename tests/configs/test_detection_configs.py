"""Every detection config: its name and first lines are true, and its model trains."""

from __future__ import annotations

import ast
import gc
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from normlib.layers import (
    SparseSwitchNorm,
    SwitchNorm,
    SyncSparseSwitchNorm,
    SyncSwitchNorm,
)
from normlib.openmmlab.launch import build_runner, load_config
from tasks.results import Model, read_metafile
from tasks.toy_data import coco

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "detection"
CONFIGS = sorted(FOLDER.glob("*.py"))
TOYS = sorted(FOLDER.glob("toy/*.py"))
METAFILE = read_metafile(ROOT / "tasks" / "detection" / "metafile.yml")
MODELS_BY_NAME = {model.name: model for model in METAFILE.models}
NAME = re.compile(
    r"(?P<type>faster|mask)-rcnn_r(?P<depth>\d+)-(?P<backbone>[a-z]+)_(?P<body>c4|fpn)"
    r"(?:-(?P<head>2fc|gnhead|snhead))?"
    r"_(?P<gpus>\d+)xb(?P<images>\d+)-(?P<scratch>scratch-)?(?P<times>\d)x_coco"
)
NORMS = {
    "bn": nn.BatchNorm2d,
    "gn": nn.GroupNorm,
    "sn": SwitchNorm,
    "sninln": SwitchNorm,
    "syncsn": SyncSwitchNorm,
    "ssn": SparseSwitchNorm,
}
NORM_LAYERS = (
    nn.BatchNorm2d,
    nn.GroupNorm,
    SwitchNorm,
    SyncSwitchNorm,
    SparseSwitchNorm,
    SyncSparseSwitchNorm,
)
SIDE = 64


def name_facts(path: Path) -> SimpleNamespace:
    match = NAME.fullmatch(path.stem)
    assert match, f"{path.stem} is not of the form {NAME.pattern}"
    facts = SimpleNamespace(**match.groupdict())
    facts.frozen = facts.backbone == "bnfrozen"
    facts.backbone = "bn" if facts.frozen else facts.backbone
    if facts.head is None:
        facts.neck = facts.box = facts.backbone
    elif facts.head == "2fc":
        facts.neck, facts.box = None if facts.frozen else facts.backbone, None
    else:
        facts.neck = facts.box = facts.head.removesuffix("head")
    return facts


def identify(path: Path) -> str:
    return path.stem


def shrink(model_cfg) -> None:
    """Fewer RoIs: the shapes stay, the arithmetic of the heads does not."""
    model_cfg.train_cfg.rpn_proposal.update(nms_pre=64, max_per_img=16)
    model_cfg.train_cfg.rcnn.sampler.num = 8


def build(cfg) -> nn.Module:
    init_default_scope("mmdet")
    torch.manual_seed(0)
    return MODELS.build(cfg.model).train()


def samples(num_images: int) -> dict:
    """A batch of noise with two objects an image."""
    boxes = torch.tensor([[4.0, 4.0, 30.0, 36.0], [20.0, 24.0, 60.0, 58.0]])
    masks = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    generator = torch.Generator().manual_seed(0)
    batch = {"inputs": [], "data_samples": []}
    for _ in range(num_images):
        shape = {"img_shape": (SIDE, SIDE), "ori_shape": (SIDE, SIDE), "scale_factor": (1.0, 1.0)}
        sample = DetDataSample(metainfo=shape)
        sample.gt_instances = InstanceData(
            bboxes=boxes.clone(),
            labels=torch.tensor([0, 1]),
            masks=BitmapMasks(masks, SIDE, SIDE),
        )
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        pixels = torch.randint(256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        batch["inputs"].append(pixels)
        batch["data_samples"].append(sample)
    return batch


def train_step(model: nn.Module) -> dict[str, torch.Tensor]:
    losses = model(**model.data_preprocessor(samples(2), True), mode="loss")
    total, parts = model.parse_losses(losses)
    total.backward()
    return parts


def norm_layers(module: nn.Module | None) -> list[nn.Module]:
    return [] if module is None else [m for m in module.modules() if isinstance(m, NORM_LAYERS)]


@pytest.fixture(scope="module", params=CONFIGS, ids=identify)
def built(request, tmp_path_factory):
    """A config with its model; of module scope, so that the tests of one config share it."""
    cfg = load_config(request.param, {"work_dir": str(tmp_path_factory.mktemp("work_dir"))})
    shrink(cfg.model)
    torch.manual_seed(0)
    model = build_runner(cfg).model.train()
    yield SimpleNamespace(path=request.param, facts=name_facts(request.param), cfg=cfg, model=model)
    gc.collect()


def test_name_states_model_batch_and_schedule(built):
    facts, cfg = built.facts, built.cfg
    epochs = 12 * int(facts.times)
    assert cfg.model.type == {"faster": "FasterRCNN", "mask": "MaskRCNN"}[facts.type]
    assert cfg.model.backbone.depth == int(facts.depth)
    assert ("neck" in cfg.model) == (facts.body == "fpn")
    assert cfg.train_dataloader.batch_size == int(facts.images)
    assert cfg.auto_scale_lr.base_batch_size == int(facts.gpus) * int(facts.images)
    assert cfg.train_cfg.max_epochs == epochs
    warmup, steps = cfg.param_scheduler
    assert (warmup.end, warmup.by_epoch) == (500, False)
    assert (steps.end, steps.by_epoch) == (epochs, True)
    assert all(0.5 * epochs < step < epochs for step in steps.milestones)


def test_name_states_norms(built):
    facts, model = built.facts, built.model
    roi_head = model.roi_head
    parts = {"backbone": (model.backbone, facts.backbone)}
    if facts.body == "c4":
        parts["shared head"] = (roi_head.shared_head, facts.box)
    else:
        parts["neck"] = (model.neck, facts.neck)
        parts["box head"] = (roi_head.bbox_head, facts.box)
        if facts.type == "mask":
            parts["mask head"] = (roi_head.mask_head, facts.box)
    for part, (module, norm) in parts.items():
        types = {type(layer) for layer in norm_layers(module)}
        assert types == ({NORMS[norm]} if norm else set()), part
        if norm == "sninln":
            assert {layer.normalizers for layer in norm_layers(module)} == {("in", "ln")}, part


@pytest.mark.parametrize(
    "built",
    [path for path in CONFIGS if name_facts(path).backbone == "bn"],
    indirect=True,
    ids=identify,
)
def test_frozen_batch_norm_is_frozen_and_trained_is_not(built):
    facts, model = built.facts, built.model
    trained = [layer for layer in norm_layers(model.backbone) if layer.training]
    learning = [layer for layer in norm_layers(model.backbone) if layer.weight.requires_grad]
    assert trained == learning
    assert bool(learning) != facts.frozen
    if facts.body == "c4":
        shared = norm_layers(model.roi_head.shared_head)
        assert all(layer.training != facts.frozen for layer in shared)
        assert all(layer.weight.requires_grad != facts.frozen for layer in shared)


def test_stages_are_frozen_only_with_fpn_and_initial_weights(built):
    frozen = [p for p in built.model.backbone.conv1.parameters() if not p.requires_grad]
    assert bool(frozen) == (built.facts.body == "fpn" and not built.facts.scratch)


def test_initial_weights_and_pixels_fit_each_other(built):
    model, header = built.cfg.model, ast.get_docstring(ast.parse(built.path.read_text()))
    parts = [model.backbone]
    if built.facts.body == "c4":
        parts.append(model.roi_head.shared_head)
    if built.facts.scratch:
        assert [part.init_cfg for part in parts] == [None] * len(parts)
        assert "Weights: none" in header
        return
    (checkpoint,) = {part.init_cfg.checkpoint for part in parts}
    assert checkpoint in header
    expected = {"bn": "torchvision://", "gn": "open-mmlab://"}
    assert checkpoint.startswith(expected.get(built.facts.backbone, "checkpoints/resnet50_sn_"))
    divided = [58.395, 57.12, 57.375]
    assert model.data_preprocessor.std == ([1.0] * 3 if built.facts.backbone == "gn" else divided)
    assert model.data_preprocessor.bgr_to_rgb == (built.facts.backbone != "gn")


def test_optimizer_follows_the_authors_parameter_groups(built):
    optimizer = build_optim_wrapper(built.model, built.cfg.optim_wrapper).optimizer
    base = built.cfg.optim_wrapper.optimizer
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    sparse = built.facts.backbone == "ssn"
    for module in built.model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            group = groups[id(parameter)]
            control = name in ("mean_weight", "var_weight")
            norm = isinstance(module, NORM_LAYERS)
            rate = 0.1 if control and sparse else 2 if name == "bias" and not norm else 1
            assert group["lr"] == pytest.approx(base.lr * rate), (type(module), name)
            decay = 0.0 if norm or name == "bias" else base.weight_decay
            assert group["weight_decay"] == decay, (type(module), name)


def test_forward_and_backward(built):
    parts = train_step(built.model)
    expected = {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"}
    if built.facts.type == "mask":
        expected.add("loss_mask")
    assert expected <= set(parts)
    assert all(value.isfinite() for value in parts.values())
    for name, parameter in built.model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name


def header(path: Path) -> str:
    """The first lines of a config, as one line."""
    return " ".join(ast.get_docstring(ast.parse(path.read_text())).split())


@pytest.mark.parametrize("path", CONFIGS, ids=identify)
def test_first_lines_agree_with_file_and_metafile(path):
    text, facts, model = header(path), name_facts(path), MODELS_BY_NAME[path.stem]
    command = f"tools/dist_train.sh {path.relative_to(ROOT)} {facts.gpus} "
    assert f"Command: {command}" in text
    assert f"Hardware: {facts.gpus} GPUs, {facts.images} images each " in text
    assert published_line(model) in text
    assert measured_line(model) in text


def published_line(model: Model) -> str:
    if model.published is None:
        return "Published: none published Measured:"
    # The metafile holds numbers; the released README prints two decimals, the paper one.
    digits = 1 if model.published.source.startswith("paper") else 2
    figures = [
        f"{key} {model.published.metrics[key]:.{digits}f}"
        for key in ("box AP", "mask AP")
        if key in model.published.metrics
    ]
    notes = "; " + ", ".join(model.published.discrepancies) if model.published.discrepancies else ""
    return f"Published: {', '.join(figures)} ({model.published.source}{notes}) Measured:"


def measured_line(model: Model) -> str:
    figures = [f"{key} {value}" for key, value in model.measured.items()]
    return f"Measured: {', '.join(figures) or 'not measured'} "


def test_metafile_lists_every_config_once():
    listed = [model.config for model in METAFILE.models]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in CONFIGS)
    assert all(Path(model.config).stem == model.name for model in METAFILE.models)


@pytest.mark.parametrize("model", METAFILE.models, ids=lambda model: model.name)
def test_metafile_repeats_the_facts_of_the_name(model):
    facts = name_facts(ROOT / model.config)
    assert model.metadata["Epochs"] == 12 * int(facts.times)
    assert model.metadata["Batch"] == f"{facts.gpus} x {facts.images}"
    assert (model.metadata["Initial Weights"] == "none") == bool(facts.scratch)
    kind = f"{facts.type.capitalize()} R-CNN R{facts.depth}-{facts.body.upper()}"
    assert model.collection == kind
    assert ("mask AP" in (model.published.metrics if model.published else {})) == bool(
        model.published and facts.type == "mask"
    )


@pytest.fixture(scope="module")
def toy_data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "toy_coco"
    root.mkdir()
    coco.generate(root, coco.CocoToy(train=6, val=2))
    return root


@pytest.mark.parametrize("norm", ["BN", "GN", "SN", "SyncSN", "SSN"])
@pytest.mark.parametrize("path", TOYS, ids=identify)
def test_toy_takes_every_norm_throughout(path, norm, toy_data):
    cfg = load_config(path, {"norm_cfg.type": norm, "coco_data.root": str(toy_data)})
    model = build(cfg)
    for part in (model.backbone, model.neck, model.roi_head.bbox_head):
        assert {type(layer) for layer in norm_layers(part)} == {NORMS[norm.lower()]}
    assert all(value.isfinite() for value in train_step(model).values())


@pytest.mark.parametrize("path", TOYS, ids=identify)
def test_toy_names_its_own_command_and_trains(path, toy_data, tmp_path):
    assert f"Command: tools/dist_train.sh {path.relative_to(ROOT)} 2 " in header(path)
    options = {
        "coco_data.root": str(toy_data),
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "work_dir": str(tmp_path),
    }
    runner = build_runner(load_config(path, options))
    runner.train()
    assert 0 <= runner.message_hub.get_scalar("val/coco/bbox_mAP").current() <= 1
