"""What an evaluation writes besides its metrics: predictions as files, and as pictures."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, METRICS, VISUALIZERS, Registry

from normlib.openmmlab.errors import ConfigError


def write(cfg: Config, out: str, folder: str = "") -> None:
    """Have the test evaluator write the predictions.

    Args:
        cfg: The config of an evaluation, changed in place.
        out: A ``.json`` file, for metrics that take ``outfile_prefix`` (``CocoMetric``); or a
            folder, for those that take ``output_dir`` (``IoUMetric``).
        folder: Put the file, or the label maps, into this folder beside or below it.

    Raises:
        ConfigError: No metric writes that, or the folder cannot be made.
    """
    evaluators = cfg.test_evaluator
    evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
    kinds = ", ".join(str(e["type"]) for e in evaluators)
    coco, maps = (
        [e for e in evaluators if _accepts(METRICS, cfg, e, argument)]
        for argument in ("outfile_prefix", "output_dir")
    )
    if not coco and not maps:
        raise ConfigError(
            f"--out: the test_evaluator ({kinds}) does not write predictions, neither as COCO JSON "
            "nor as label maps"
        )
    to_file = out.endswith(".json")
    if to_file and not coco:
        raise ConfigError(
            f"--out {out}: the test_evaluator ({kinds}) writes label maps, one PNG an image; name "
            "a folder"
        )
    if not to_file and not maps:
        raise ConfigError(f"--out {out}: predictions are written as COCO JSON; name a .json file")
    path = Path(out).parent / folder / Path(out).stem if to_file else Path(out, folder)
    _make_folder("--out", path.parent if to_file else path)
    for evaluator in coco if to_file else maps:
        evaluator["outfile_prefix" if to_file else "output_dir"] = str(path)


def draw(cfg: Config, show_dir: Path) -> None:
    """Have the test draw its images, with truth and prediction.

    The config's hook does it where it can write to a folder, else a ``PictureHook`` in its place.

    Args:
        cfg: The config of an evaluation, changed in place.
        show_dir: The folder.

    Raises:
        ConfigError: The config has no hook or no visualizer that draws, or the folder cannot be
            made.
    """
    hooks = cfg.get("default_hooks", {})
    hook = hooks.get("visualization")
    if hook is None:
        raise ConfigError(
            "--show-dir: the config has no hook that draws; add default_hooks = "
            "dict(visualization=dict(type='DetVisualizationHook')), of a segmentor "
            "'SegVisualizationHook'"
        )
    visualizer = cfg.get("visualizer") or dict(type="Visualizer")
    if not _draws_to_files(cfg, visualizer):
        raise ConfigError(
            f"--show-dir: the config's visualizer ({visualizer['type']}) draws no predictions; "
            "take visualizer = dict(type='DetLocalVisualizer'), of a segmentor "
            "'SegLocalVisualizer'"
        )
    show_dir = show_dir.absolute()
    _make_folder("--show-dir", show_dir)
    if _accepts(HOOKS, cfg, hook, "test_out_dir"):
        hook.update(draw=True, test_out_dir=str(show_dir))
    else:
        kept = {key: hook[key] for key in ("interval", "backend_args") if key in hook}
        hooks.visualization = ConfigDict(type="PictureHook", out_dir=str(show_dir), **kept)


def _draws_to_files(cfg: Config, visualizer: dict[str, Any]) -> bool:
    with VISUALIZERS.switch_scope_and_registry(cfg.get("default_scope")) as scoped:
        cls = scoped.get(visualizer["type"])
    draw = getattr(cls, "add_datasample", None)
    return draw is not None and "out_file" in inspect.signature(draw).parameters


def _make_folder(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option}: the folder {folder} cannot be made: {error}") from error


def _accepts(registry: Registry, cfg: Config, part: dict[str, Any], argument: str) -> bool:
    """Whether the class that a part of the config names takes an argument, or hands it on."""
    with registry.switch_scope_and_registry(cfg.get("default_scope")) as scoped:
        cls = scoped.get(part["type"])
    for base in inspect.getmro(cls) if inspect.isclass(cls) else ():
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            if argument in parameters:
                return True
            if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
                return False
    return False
