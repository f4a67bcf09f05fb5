"""Every segmentation config: its name and first lines are true, and its model trains."""

from __future__ import annotations

import ast
import copy
import functools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.structures import PixelData
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from normlib.layers import (
    SparseSwitchNorm,
    SwitchNorm,
    SyncSparseSwitchNorm,
    SyncSwitchNorm,
)
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.pixel_check import check_pixels
from normlib.openmmlab.training_speed import measure_training_speed
from tasks.results import read_metafile
from tasks.toy_data import ade20k, cityscapes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "segmentation"
CONFIGS = sorted([*FOLDER.glob("paper/*.py"), *FOLDER.glob("modern/*.py")])
TOYS = sorted(FOLDER.glob("toy/*.py"))
METAFILE = read_metafile(ROOT / "tasks" / "segmentation" / "metafile.yml")
NAME = re.compile(
    r"(?P<type>deeplab|deeplabv3|pspnet)_r50-d8(?P<variant>-ssn|-released)?_(?P<gpus>\d)xb(?P<images>\d)"
    r"-(?P<thousands>\d+)k_(?P<data>ade20k|cityscapes)(?:-(?P<crop>\d+)x\d+)?"
)
HEADS = {"deeplab": "FCNHead", "deeplabv3": "PoolNormASPPHead", "pspnet": "PoolNormPSPHead"}
CLASSES = {"ade20k": 150, "cityscapes": 19}
LAYERS = {
    "BN": nn.BatchNorm2d,
    "SyncBN": SyncBatchNorm,
    "GN": nn.GroupNorm,
    "SN": SwitchNorm,
    "SyncSN": SyncSwitchNorm,
    "SSN": SparseSwitchNorm,
    "SyncSSN": SyncSparseSwitchNorm,
}
RGB = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True)
DETECTRON = ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], False)
SMALL = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 32,
    "model.decode_head.in_channels": 256,
    "model.decode_head.channels": 32,
    "model.auxiliary_head.in_channels": 128,
    "model.auxiliary_head.channels": 32,
}


def identify(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def field(path: Path, name: str) -> str:
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    match = re.search(rf"{name}: (.*?)(?= [A-Z][a-z]+: |$)", text)
    assert match, f"{path} has no line {name}"
    return match[1]


@functools.cache
def load_once(path: Path, options: tuple[tuple[str, object], ...]):
    return load_config(path, dict(options))


def load(path: Path, **options):
    return copy.deepcopy(load_once(path, tuple(options.items())))


def build(cfg) -> nn.Module:
    init_default_scope("mmseg")
    torch.manual_seed(0)
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)


def norms_of(module: nn.Module) -> set[type]:
    return {type(layer) for layer in module.modules() if isinstance(layer, tuple(LAYERS.values()))}


@pytest.fixture(params=CONFIGS, ids=identify)
def described(request):
    match = NAME.fullmatch(request.param.stem)
    assert match, request.param.stem
    cfg = load(request.param)
    facts = SimpleNamespace(**match.groupdict(), family=request.param.parent.name)
    return SimpleNamespace(path=request.param, facts=facts, cfg=cfg)


def test_name_states_model_batch_schedule_and_crop(described):
    facts, cfg = described.facts, described.cfg
    model = cfg.model
    assert (model.backbone.type, model.backbone.depth) == ("ResNet", 50)
    assert (model.backbone.strides, model.backbone.dilations) == ((1, 2, 1, 1), (1, 1, 2, 4))
    assert model.decode_head.type == HEADS[facts.type]
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes == CLASSES[facts.data]
    assert model.decode_head.loss_decode.loss_weight == 1.0
    assert model.auxiliary_head.loss_decode.loss_weight == 0.4
    for head in (model.decode_head, model.auxiliary_head):
        over_labelled = head.loss_decode.get("avg_non_ignore", False)
        assert over_labelled == (facts.family == "paper")
    assert cfg.train_dataloader.batch_size == int(facts.images)
    assert cfg.auto_scale_lr.base_batch_size == int(facts.gpus) * int(facts.images)
    assert cfg.train_cfg.max_iters // 1000 == int(facts.thousands)
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    norms = {None: "SyncSN", "-ssn": "SyncSSN", "-released": "SN"}
    assert cfg.norm_cfg.type == norms[facts.variant]
    if facts.crop:
        side = int(facts.crop)
        assert model.data_preprocessor.size == (side, side)
        (crop,) = (
            step for step in cfg.train_dataloader.dataset.pipeline if step.type == "RandomCrop"
        )
        assert crop.crop_size == (side, side)
    if facts.data == "cityscapes":
        side = int(facts.crop)
        assert model.test_cfg.mode == "slide"
        assert model.test_cfg.crop_size == (side, side)
        assert side // 2 < model.test_cfg.stride[0] < side


def test_deeplab_is_that_of_the_paper():
    cfg = load(FOLDER / "paper" / "deeplab_r50-d8_8xb2-100k_ade20k.py")
    for head, channels in ((cfg.model.decode_head, 2048), (cfg.model.auxiliary_head, 1024)):
        assert (head.in_channels, head.channels) == (channels, 512)
        assert (head.num_convs, head.concat_input, head.dropout_ratio) == (1, False, 0)
    sides = [step.scale[1] for step in cfg.tta_pipeline[1].transforms[0]]
    assert sides == [300, 400, 500, 600]
    assert cfg.train_dataloader.dataset.short_sides == (300, 375, 450, 525, 600)
    assert not any("flip" in str(step).lower() for step in cfg.tta_pipeline)


def test_the_rate_is_a_polynomial_of_the_iteration(described):
    cfg = described.cfg
    base = cfg.optim_wrapper.optimizer.lr
    assert base == (0.02 if described.facts.thousands == "100" else 0.01)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=base)
    (entry,) = map(dict, cfg.param_scheduler)
    assert entry["end"] == cfg.train_cfg.max_iters
    entry["end"] = 101  # the polynomial is the same, its last step the 101st
    scheduler = PARAM_SCHEDULERS.get(entry.pop("type"))(optimizer=optimizer, **entry)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    low = 1e-4 if described.facts.family == "modern" else 0
    assert rates == pytest.approx(
        [(base - low) * (1 - step / 100) ** 0.9 + low for step in range(100)], rel=1e-6
    )


def test_first_lines(described):
    path, gpus = described.path, described.facts.gpus
    released = described.facts.variant == "-released"
    script, rest = ("test", "CHECKPOINT 8") if released else ("train", gpus)
    assert field(path, "Command") == f"tools/dist_{script}.sh {path.relative_to(ROOT)} {rest}"
    hardware = f"{gpus} GPUs, {described.facts.images} images each"
    assert field(path, "Hardware").removeprefix("any; trained on ") == hardware
    own = [m for m in METAFILE.models if m.config == str(path.relative_to(ROOT)) and not m.options]
    (model,) = own
    published = field(path, "Published")
    if model.published is None:
        assert published == "none published"
    else:
        single, multi = (model.published.metrics[key] for key in ("mIoU", "multi-scale mIoU"))
        assert published == f"mIoU {single}, multi-scale {multi} ({model.published.source})"
    measured = ", ".join(f"{key} {value}" for key, value in model.measured.items())
    assert field(path, "Measured") == (measured or "not measured")


def test_every_config_is_in_the_metafile_and_every_file_of_it_exists():
    configs = {model.config for model in METAFILE.models}
    assert configs == {str(path.relative_to(ROOT)) for path in CONFIGS}


@pytest.mark.parametrize("model", METAFILE.models, ids=lambda model: model.name)
def test_options_of_the_metafile_give_norm_and_weights_that_it_states(model):
    options = dict(option.split("=") for option in model.options.split())
    cfg = load(ROOT / model.config, **options)
    norm = model.metadata["Norm"]
    for part in (cfg.model.backbone, cfg.model.decode_head, cfg.model.auxiliary_head):
        assert part.norm_cfg.type == norm
    stated = model.metadata["Initial Weights"]
    if stated.startswith("none"):
        assert "init_cfg" not in cfg.model.backbone
        return
    preprocessor = cfg.model.data_preprocessor
    pixels = (preprocessor.mean, preprocessor.std, preprocessor.bgr_to_rgb)
    assert pixels == (DETECTRON if norm == "GN" else RGB)
    checkpoint = cfg.model.backbone.init_cfg.checkpoint
    setting = re.fullmatch(r"SN \((\d+),(\d+)\)", stated)
    if setting:
        assert checkpoint.startswith(f"checkpoints/resnet50_sn_{setting[1]}x{setting[2]}")
    else:
        assert checkpoint.startswith(
            {"torchvision": "torchvision://", "Detectron GN": "open-mmlab://detectron/"}[stated]
        )


def test_weight_decay_and_rates_by_kind_of_parameter(described):
    cfg = load(described.path, **SMALL)
    model = build(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    convolutions = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Conv2d)
    }
    rate = cfg.optim_wrapper.optimizer.lr
    seen = set()
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.add(name)
            control = name.endswith(("mean_weight", "var_weight"))
            if described.facts.family == "paper":
                assert group["weight_decay"] == (1e-4 if id(parameter) in convolutions else 0), name
            else:
                assert group["weight_decay"] == (0 if control else 5e-4), name
            slow = control and described.facts.variant == "-ssn"
            assert group["lr"] == pytest.approx(rate * (0.1 if slow else 1)), name
    assert seen == set(names.values())


@pytest.mark.parametrize("norm", LAYERS)
@pytest.mark.parametrize(
    "path",
    [path for path in CONFIGS if path.parent.name == "paper" and "d8_" in path.stem][::2]
    + [path for path in CONFIGS if path.stem.startswith("deeplabv3_r50-d8_4xb2")],
    ids=identify,
)
def test_every_norm_goes_throughout_and_trains(path, norm):
    cfg = load(path, **SMALL, **{"norm_cfg.type": norm})
    cfg.model.data_preprocessor.pop("size", None)
    cfg.model.data_preprocessor.size_divisor = 8
    model = build(cfg).train()
    for part in (model.backbone, model.decode_head, model.auxiliary_head):
        assert norms_of(part) == {LAYERS[norm]}
    if norm == "SyncBN":
        return  # PyTorch's runs on GPUs alone.
    classes = cfg.model.decode_head.num_classes
    data = {"inputs": [], "data_samples": []}
    for _ in range(2):
        data["inputs"].append(torch.randint(256, (3, 40, 48), dtype=torch.uint8))
        label = torch.randint(classes, (1, 40, 48))
        label[:, :4] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        data["data_samples"].append(sample)
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    total = sum(value for key, value in losses.items() if "loss" in key)
    total.backward()
    assert torch.isfinite(total)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_the_released_model_gets_the_pixels_of_its_checkpoint():
    cfg = load(FOLDER / "paper" / "deeplab_r50-d8-released_8xb2-100k_ade20k.py")
    cfg.load_from = "checkpoints/resnet50d8_c1_deepsup_sn8x2_encoder.pth"
    check_pixels(cfg)
    cfg.model.data_preprocessor.std = [58, 57, 57]
    with pytest.raises(ConfigError, match="was trained on BGR minus"):
        check_pixels(cfg)
    assert cfg.model.decode_head.norm_cfg == dict(type="SN", momentum=0.1, unbiased=True)


@pytest.fixture(scope="module")
def toy_data(tmp_path_factory) -> dict[str, Path]:
    roots = {}
    for name, module, kind in (
        ("ade20k", ade20k, ade20k.ADE20KToy),
        ("cityscapes", cityscapes, cityscapes.CityscapesToy),
    ):
        roots[name] = tmp_path_factory.mktemp(name)
        module.generate(roots[name], kind(train=6, val=2))
    return roots


def toy_options(path: Path, toy_data: dict[str, Path]) -> dict[str, str]:
    name = path.stem.rpartition("-")[2]
    return {f"{name}_data.root": str(toy_data[name])}


@pytest.mark.parametrize("path", CONFIGS, ids=identify)
def test_pipelines_read_real_files(path, toy_data):
    """The published sizes, on small files of the exact layout."""
    name = "ade20k" if "ade20k" in path.stem else "cityscapes"
    cfg = load(path, **{f"{name}_data.root": str(toy_data[name])})
    init_default_scope("mmseg")
    from mmseg.registry import DATASETS

    train = DATASETS.build(cfg.train_dataloader.dataset)
    sample = train[0]
    height, width = sample["inputs"].shape[1:]
    assert sample["data_samples"].gt_sem_seg.shape == (height, width)
    if cfg.model.data_preprocessor.get("size"):
        assert max(height, width) <= cfg.model.data_preprocessor.size[0]
    else:
        assert min(height, width) in cfg.train_dataloader.dataset.short_sides
        assert max(height, width) <= 1000
    test = DATASETS.build(cfg.test_dataloader.dataset)
    whole = test[0]["data_samples"]
    assert whole.gt_sem_seg.shape == whole.ori_shape
    augmented = Compose(cfg.tta_pipeline)(test.get_data_info(0))
    assert len({tuple(image.shape) for image in augmented["inputs"]}) in (4, 6)


@pytest.mark.parametrize("norm", ["BN", "GN", "SN", "SyncSN", "SSN"])
@pytest.mark.parametrize("path", TOYS, ids=identify)
def test_toy_takes_every_norm_throughout(path, norm, toy_data):
    cfg = load(path, **toy_options(path, toy_data), **{"norm_cfg.type": norm})
    assert norms_of(build(cfg)) == {LAYERS[norm]}


@pytest.mark.slow
@pytest.mark.parametrize("path", TOYS, ids=identify)
def test_toy_names_its_own_command_and_trains(path, toy_data, tmp_path):
    assert field(path, "Command") == f"tools/dist_train.sh {path.relative_to(ROOT)} 2"
    options = toy_options(path, toy_data) | {
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "default_hooks.checkpoint.interval": 2,
    }
    cfg = load(path, **options)
    cfg.work_dir = str(tmp_path)
    runner = build_runner(cfg)
    runner.train()
    assert (tmp_path / "iter_2.pth").is_file()
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("path", TOYS, ids=identify)
def test_toy_can_be_timed(path, toy_data):
    """Samplers without end, and batches that a batch sampler makes."""
    options = toy_options(path, toy_data)
    speed = measure_training_speed(str(path), ("BN", "SN"), rounds=1, batches=1, options=options)
    assert speed.batch_size == 2
    assert speed.loader_images_per_second > 0
