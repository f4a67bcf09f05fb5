"""Every face config: its name and first lines are true, it takes every norm, and it trains."""

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
from mmcv.transforms import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, PARAM_SCHEDULERS, init_default_scope
from torch import nn

from normlib import SparseSwitchNorm, SwitchNorm, SyncSparseSwitchNorm, SyncSwitchNorm
from normlib.openmmlab.commands import evaluate
from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.training_speed import measure_training_speed
from tasks.results import read_metafile
from tasks.toy_data import faces

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs" / "face"
TOY = FOLDER / "toy" / "arcface_ir18_toy.py"
CONFIGS = sorted(path for path in FOLDER.glob("*/*.py") if path != TOY)
METAFILE = read_metafile(ROOT / "tasks" / "face" / "metafile.yml")
NAME = re.compile(
    r"arcface_ir(?P<depth>50|100)(?P<variant>-ssn|-hard)?_(?P<gpus>\d+)xb(?P<images>\d+)"
    r"-(?P<epochs>\d+)e_ms1mv2"
)
LAYERS = {
    "BN": nn.BatchNorm2d,
    "GN": nn.GroupNorm,
    "SN": SwitchNorm,
    "SSN": SparseSwitchNorm,
    "SyncBN": nn.SyncBatchNorm,
    "SyncSN": SyncSwitchNorm,
    "SyncSSN": SyncSparseSwitchNorm,
}
SMALL = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 16,
    "model.neck.in_channels": 128,
    "model.neck.map_size": 2,
    "model.head.num_classes": 20,
}


def identify(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def field(path: Path, name: str) -> str:
    header = ast.get_docstring(ast.parse(path.read_text())) or ""
    (text,) = re.findall(rf"^{name}: (.*(?:\n    .*)*)", header, re.MULTILINE)
    return re.sub(r"\n\s+", " ", text)


@cache
def load_once(path: Path, options: tuple[tuple[str, object], ...]):
    return load_config(path, {"face_data.root": None, **dict(options)})


def load(path: Path, **options):
    return copy.deepcopy(load_once(path, tuple(options.items())))


def build(cfg) -> nn.Module:
    init_default_scope("mmengine")
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def norms_of(module: nn.Module) -> set[type]:
    return {type(layer) for layer in module.modules() if isinstance(layer, tuple(LAYERS.values()))}


@pytest.fixture(params=CONFIGS, ids=identify)
def described(request):
    match = NAME.fullmatch(request.param.stem)
    assert match, request.param.stem
    facts = SimpleNamespace(**match.groupdict(), family=request.param.parent.name)
    return SimpleNamespace(path=request.param, facts=facts, cfg=load(request.param))


def test_name_states_model_batch_and_epochs(described):
    facts, cfg = described.facts, described.cfg
    assert cfg.model.backbone.depth == int(facts.depth)
    assert cfg.model.backbone.get("style", "sn") == {"paper": "sn"}.get(facts.family, "arcface")
    assert cfg.train_dataloader.batch_size == int(facts.images)
    assert cfg.auto_scale_lr.base_batch_size == int(facts.gpus) * int(facts.images)
    assert cfg.train_cfg.max_epochs == int(facts.epochs)
    types = {("paper", None): "SN", ("modern", None): "BN", ("paper", "-hard"): "SyncSN"}
    assert cfg.norm_cfg.type == types.get((facts.family, facts.variant), "SSN")
    hooks = {hook["type"] for hook in cfg.get("custom_hooks", [])}
    own = {"-ssn": {"SparseScheduleHook"}, "-hard": {"HardenHook"}, None: set()}
    assert hooks == own[facts.variant]


def test_what_the_released_code_fixes(described):
    cfg = described.cfg
    assert cfg.model.head.loss == dict(type="ArcFace", scale=64.0, margin=0.5)
    assert cfg.model.data_preprocessor.mean == cfg.model.data_preprocessor.std == [127.5] * 3
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
    if described.facts.family == "paper":
        assert cfg.norm_cfg.eps == 2e-5
        assert cfg.model.neck.embedding_norm_cfg.type == "BN1d"
    else:
        assert cfg.optim_wrapper.clip_grad.max_norm == 5


def test_the_rate_follows_its_schedule(described):
    """Steps or a line, over all epochs of 5 iterations."""
    cfg, hard = described.cfg, described.facts.variant == "-hard"
    base = cfg.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=base)
    (entry,) = map(dict, cfg.param_scheduler)
    cls = PARAM_SCHEDULERS.get(entry.pop("type"))
    by_iteration = entry.pop("convert_to_iter_based", False)
    if by_iteration:
        scheduler = cls.build_iter_from_epoch(optimizer=optimizer, epoch_length=5, **entry)
    else:
        scheduler = cls(optimizer=optimizer, **entry)
    rates = []
    for step in range(5 * cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if by_iteration or step % 5 == 4:
            scheduler.step()
    if described.facts.family == "modern":
        assert rates == pytest.approx([0.1 * (1 - step / 99) for step in range(100)], abs=1e-3)
    elif hard:
        assert rates[::25] == pytest.approx([1e-3, 1e-4])
    else:
        assert [rates[5 * epoch] for epoch in (0, 11, 12, 14, 15, 17, 18, 19)] == pytest.approx(
            [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4]
        )


def test_first_lines(described):
    path, facts = described.path, described.facts
    amp = " --amp" if facts.family == "modern" else ""
    command = f"tools/dist_train.sh {path.relative_to(ROOT)} {facts.gpus}{amp}"
    assert field(path, "Command") == command
    assert field(path, "Hardware").startswith(f"{facts.gpus} GPUs, {facts.images} images each")
    rows = [m for m in METAFILE.models if m.config == str(path.relative_to(ROOT))]
    own = [m for m in rows if "norm_cfg" not in m.options]
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
    if "train_dataloader.batch_size" in options:
        options["train_dataloader.batch_size"] = int(options["train_dataloader.batch_size"])
    cfg = load(ROOT / model.config, **options)
    assert cfg.norm_cfg.type == cfg.model.backbone.norm_cfg.type == model.metadata["Norm"]
    assert cfg.model.neck.norm_cfg.type == model.metadata["Norm"]
    gpus, images = map(int, model.metadata["GPUs x images"].split(" x "))
    assert cfg.train_dataloader.batch_size == images
    assert cfg.optim_wrapper.optimizer.lr == (0.001 if "hard" in model.name else 0.1)
    assert cfg.auto_scale_lr.base_batch_size in (gpus * images, 512)


def test_runs_with_other_norms_go_to_other_folders():
    path = FOLDER / "paper" / "arcface_ir50_8xb64-20e_ms1mv2.py"
    assert load(path).work_dir == f"work_dirs/{path.stem}_sn"
    options = {"norm_cfg.type": "SyncSN", "batch_setting": "16x32"}
    assert load(path, **options).work_dir == f"work_dirs/{path.stem}_syncsn_16x32"
    assert load(path, work_dir="mine").work_dir == "mine"
    hard = load(FOLDER / "paper" / "arcface_ir50-hard_8xb64-10e_ms1mv2.py")
    syncsn = load(path, **{"norm_cfg.type": "SyncSN"})
    assert str(Path(hard.load_from).parent) == syncsn.work_dir


def test_a_saved_config_can_be_given_another_norm(tmp_path):
    path = FOLDER / "modern" / "arcface_ir50_8xb128-20e_ms1mv2.py"
    saved = tmp_path / "saved.py"
    load(path, **{"norm_cfg.type": "SN"}).dump(saved)
    assert load(saved).work_dir == f"work_dirs/{path.stem}_sn"
    assert load(saved, **{"norm_cfg.type": "BN"}).work_dir == f"work_dirs/{path.stem}_bn"


def test_control_parameters_of_sparse_norms_have_their_own_rate():
    cfg = load(FOLDER / "paper" / "arcface_ir50-ssn_8xb64-20e_ms1mv2.py", **SMALL)
    model = build(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            control = names[id(parameter)].endswith(("mean_weight", "var_weight"))
            assert group["lr"] == pytest.approx(0.01 if control else 0.1)
            assert group["weight_decay"] == (0 if control else 5e-4)


@pytest.mark.parametrize("norm", LAYERS)
@pytest.mark.parametrize("path", [CONFIGS[0], CONFIGS[-1], TOY], ids=identify)
def test_every_norm_goes_throughout_and_trains(path, norm):
    cfg = load(path, **SMALL, **{"norm_cfg.type": norm})
    if path == TOY:
        cfg.model.neck.map_size = 2
    if norm == "GN":
        cfg.norm_cfg.num_groups = 4
        for part in (cfg.model.backbone, cfg.model.neck):
            part.norm_cfg.num_groups = 4
    model = build(cfg).train()
    for part in (model.backbone, model.neck):
        assert all(issubclass(kind, LAYERS[norm]) for kind in norms_of(part))
        assert norms_of(part)
    if norm == "SyncBN":
        return  # PyTorch's runs on GPUs alone.
    data = {"inputs": torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8),
            "data_samples": torch.tensor([3, 19, 0, 3])}  # fmt: skip
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    losses["loss"].backward()
    assert losses["loss"].isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.fixture(scope="module")
def toy_root(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("faces") / "toy"
    root.mkdir()
    faces.generate(root, faces.FacesToy(train=4, images=8, val=5, pairs=20))
    return str(root)


@pytest.mark.parametrize("path", [*CONFIGS, TOY], ids=identify)
def test_pipelines_read_real_files(path, toy_root):
    cfg = load(path, **{"face_data.root": toy_root})
    init_default_scope("mmengine")
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert cfg.model.head.num_classes == 4
    sample = train[0]
    assert sample["inputs"].shape == (112, 112, 3)
    test = DATASETS.build(cfg.test_dataloader.dataset)
    assert int(test[3]["data_samples"]) == 3
    assert [step["type"] for step in cfg.train_dataloader.dataset.pipeline] == [
        "DecodeFace", "RandomFlipFace", "PackFace",
    ]  # fmt: skip
    Compose(cfg.test_pipeline)


@pytest.mark.slow
def test_toy_names_its_own_command_and_trains(toy_root, tmp_path):
    assert field(TOY, "Command") == f"tools/dist_train.sh {TOY.relative_to(ROOT)} 2"
    options = {
        "face_data.root": toy_root,
        "train_dataloader.batch_size": 16,
        "train_cfg.max_epochs": 2,
        "train_cfg.val_interval": 2,
        "default_hooks.checkpoint.interval": 2,
    }
    cfg = load(TOY, **options)
    cfg.work_dir = str(tmp_path)
    build_runner(cfg).train()
    assert (tmp_path / "epoch_2.pth").is_file()
    accuracy = json.loads((tmp_path / "metrics.json").read_text())["metrics"]["toy/accuracy"]

    # The class centres have no part in an evaluation: their number may be another.
    options = {"face_data.root": toy_root, "face_data.num_classes": 9}
    checkpoint = str(tmp_path / "epoch_2.pth")
    metrics = evaluate(str(TOY), checkpoint, str(tmp_path / "test"), options=options)
    assert metrics["toy/accuracy"] == accuracy

    # Half the images in a batch: iterations are counted differently from here on.
    options = {"train_dataloader.batch_size": 8, "train_cfg.max_epochs": 3}
    again = load(TOY, **{"face_data.root": toy_root, **options})
    # Runs of one name that begin in the same second share their log.
    again.update(experiment_name="on", resume=True, load_from=checkpoint)
    again.work_dir = str(tmp_path / "on")
    runner = build_runner(again)
    runner.train()
    log = Path(runner.log_dir, f"{runner.timestamp}.log").read_text()
    assert "an epoch has 4 iterations, in the run that is resumed it had 2" in log


@pytest.mark.slow
def test_toy_can_be_timed(toy_root):
    options = {"face_data.root": toy_root, "train_dataloader.batch_size": 8}
    speed = measure_training_speed(str(TOY), ("BN", "SN"), rounds=1, batches=1, options=options)
    assert speed.batch_size == 8
    assert speed.loader_images_per_second > 0
