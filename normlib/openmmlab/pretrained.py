"""Weights that do not fit are an error, where mmengine warns and trains from what is left."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from normlib.checkpoint import released
from normlib.checkpoint.batch_norm import check_ratios, to_switch_norm
from normlib.checkpoint.released_files import by_path
from normlib.checkpoint.released_report import summary
from normlib.layers import switch_norm_layers
from normlib.openmmlab.errors import CheckpointError, ConfigError
from normlib.openmmlab.misfit_hints import hints
from normlib.openmmlab.resuming.choice import check_named

_LISTED = 8
_MODULE_PREFIX: tuple[tuple[str, str], ...] = ((r"^module\.", ""),)


def state_dict_of(
    checkpoint: Any,
    source: str,
    prefix: str | None = None,
    revise_keys: Sequence[tuple[str, str]] = _MODULE_PREFIX,
    module: nn.Module | None = None,
) -> OrderedDict[str, Tensor]:
    """The model weights in a loaded checkpoint, with the versions that modules have recorded.

    A checkpoint that the authors of SN and SSN released gets this project's keys and shapes, see
    :mod:`normlib.checkpoint.released`. Any other is taken as it is.

    Args:
        checkpoint: A state dict, or a dict that has one under ``'state_dict'`` or ``'model'``.
        source: Name of the file, for errors and the log.
        prefix: Take only the keys under this sub-module, and cut it off.
        revise_keys: Pairs (pattern, replacement) for ``re.sub``, applied to every key in turn.
        module: What the weights are for: without a ``prefix``, a backbone alone gets the backbone
            of a released checkpoint.

    Raises:
        CheckpointError: If there are no weights, or none under ``prefix``.
    """
    weights = weights_in(checkpoint)
    if weights is None:
        found = (
            f"the keys {_some(list(map(str, checkpoint)))}"
            if isinstance(checkpoint, Mapping)
            else f"a {type(checkpoint).__name__}"
        )
        raise CheckpointError(
            f"checkpoint {source} holds {found}, not a state dict or a dict with 'state_dict' or "
            "'model'"
        )
    # Versions are recorded under the names of modules: a dot at the end makes them like keys.
    recorded: Mapping[str, Any] = getattr(weights, "_metadata", {})
    versions = {f"{module}.": version for module, version in recorded.items()}
    state = dict(weights)
    for pattern, new in revise_keys:
        state = {re.sub(pattern, new, key): value for key, value in state.items()}
        versions = {re.sub(pattern, new, key): value for key, value in versions.items()}
    target = module if prefix is None else None
    if released.recognise(state) is not None:
        state, versions = _converted(state, source, target), {}
    elif target is not None and _has_other_norm_names(state, target):
        state, versions = _converted(state, source, target, plain=True), {}
    if prefix is not None:
        start = prefix.rstrip(".") + "."
        under = {k[len(start) :]: v for k, v in state.items() if k.startswith(start)}
        if not under:
            raise CheckpointError(
                f"checkpoint {source} has nothing under prefix {prefix!r}; its keys are "
                f"{_some(list(state))}"
            )
        state = under
        versions = {k[len(start) :]: v for k, v in versions.items() if k.startswith(start)}
    result = OrderedDict(state)
    result._metadata = {key[:-1]: version for key, version in versions.items()}  # type: ignore[attr-defined]
    return result


def weights_in(checkpoint: Any) -> Mapping[str, Tensor] | None:
    """The state dict in a loaded file, itself or under the names that code bases give it."""
    if not isinstance(checkpoint, Mapping):
        return None
    for weights in (checkpoint.get("state_dict"), checkpoint, checkpoint.get("model")):
        if isinstance(weights, Mapping) and any(isinstance(w, Tensor) for w in weights.values()):
            return weights
    return None


def _has_other_norm_names(state: Mapping[str, Tensor], module: nn.Module) -> bool:
    """Whether this is a released ResNet with GN, whose norms are called ``bn1`` in the file."""
    return (
        "gn1.weight" in module.state_dict()
        and "gn1.weight" not in state
        and "bn1.running_mean" not in state
        and released.recognise(state, plain=True) is not None
    )


def _converted(
    state: Mapping[str, Tensor], source: str, module: nn.Module | None, plain: bool = False
) -> dict[str, Tensor]:
    try:
        conversion = released.convert(state, source, plain)
    except released.ReleasedFileError as error:
        raise CheckpointError(f"checkpoint {error}") from error
    print_log(f"{source} is {summary(conversion)}", "current")
    keys = ["backbone."] if module is None else list(module.state_dict())
    return released.for_module(conversion.state, keys)


def load_weights(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    source: str,
    allow_missing: Sequence[str] = (),
    exact: bool = False,
    bn_to_sn: str | float | None = None,
) -> None:
    """Copy weights into a module, and refuse those that do not fit.

    ``num_batches_tracked``, which older BatchNorm files lack and nothing depends on, may be missing
    unless ``exact``. Entries of the file which the module has no place for are logged in one line,
    unless they continue a sequence of blocks that the module has: a file of a deeper network does
    not fit.

    Args:
        module: Receives the weights.
        state_dict: The weights, as from :func:`state_dict_of`.
        source: Name of the file, for errors and the log.
        allow_missing: Regular expressions, matched anywhere in the key; a key of the module that
            matches keeps its value if the file has none for it, or one of another shape.
        exact: Nothing may be missing or left over.
        bn_to_sn: Take the batch norms of the file for the switchable norms that the module has in
            their place, the ratios starting as :func:`normlib.checkpoint.batch_norm.start_ratios`
            says.

    Raises:
        CheckpointError: Listing what is missing, of another shape or, if ``exact``, left over.
        ConfigError: If ``bn_to_sn`` does not suit the module's norms.
    """
    if bn_to_sn is not None and not exact:
        state_dict = _from_batch_norm(module, state_dict, source, bn_to_sn)
    patterns = [re.compile(pattern) for pattern in allow_missing]

    def allowed(key: str) -> bool:
        return not exact and (
            key.endswith("num_batches_tracked") or any(p.search(key) for p in patterns)
        )

    incompatible: list[Any] = []
    handle = module.register_load_state_dict_post_hook(lambda _, keys: incompatible.append(keys))
    misfits: list[str] = []
    try:
        module.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:  # shapes: torch has copied everything else by now
        misfits = str(error).split("\n\t")[1:]
    finally:
        handle.remove()
    if not incompatible:
        raise CheckpointError(f"checkpoint {source} could not be loaded: {'; '.join(misfits)}")

    tolerated = [key for key in module.state_dict() if allowed(key)]
    misfits = [
        text.strip().rstrip(".")
        for text in misfits
        if not any(f"size mismatch for {key}:" in text for key in tolerated)
    ]
    others = [text for text in misfits if not text.startswith("size mismatch for ")]
    misfits = [text for text in misfits if text not in others]
    missing = [key for key in incompatible[0].missing_keys if not allowed(key)]
    unused = incompatible[0].unexpected_keys

    problems = []
    if missing:
        problems.append(
            f"{len(missing)} weights of the model are not in the file: {_some(missing)}"
        )
    if misfits:
        problems.append(f"{len(misfits)} have another shape: {_some(misfits, '; ')}")
    problems += others
    deeper = [key for key in unused if not exact and _is_further_block(module, key)]
    deeper = [key for key in deeper if not any(p.search(key) for p in patterns)]
    if deeper:
        problems.append(
            f"the file is of a deeper network: {len(deeper)} of its weights belong to blocks that "
            f"the model does not have: {_some(deeper)}"
        )
    if exact and unused:
        problems.append(f"{len(unused)} of the file are not in the model: {_some(unused)}")
    if problems:
        advice = "to resume, the model must be the one that was saved"
        if not exact:
            advice = "take a file that fits the model's norm and depth"
            if (missing or deeper or misfits) and not others:
                advice += (
                    ", or name what may keep its initial value in the config, e.g. "
                    f"allow_missing_weights = [{_pattern(missing or deeper, misfits)!r}]"
                )
            if unused:
                advice += f" (the file also has {len(unused)} unused: {_some(unused, most=3)})"
            advice += "".join(f". {hint}" for hint in hints(module, state_dict, missing, misfits))
        raise CheckpointError(
            f"checkpoint {source} does not fit {type(module).__name__}: "
            f"{'; '.join(problems)}. Remedy: {advice}"
        )
    if unused:
        print_log(f"{source}: {len(unused)} unused weights: {_some(unused, most=3)}", "current")


def _is_further_block(module: nn.Module, key: str) -> bool:
    """Whether a key is of a block after the last of a numbered sequence that the module has."""
    for name in key.split(".")[:-1]:
        children = dict(module.named_children())
        if name not in children:
            numbered = bool(children) and all(child.isdecimal() for child in children)
            return numbered and name.isdecimal()
        module = children[name]
    return False


def _from_batch_norm(
    module: nn.Module, state_dict: Mapping[str, Tensor], source: str, ratios: str | float
) -> Mapping[str, Tensor]:
    every = len(list(switch_norm_layers(module)))
    if every == 0:
        return state_dict
    try:
        state, layers = to_switch_norm(state_dict, module, ratios)
    except ValueError as error:
        raise ConfigError(f"bn_to_sn = {ratios!r}, for checkpoint {source}: {error}") from error
    start = {"uniform": "uniform", "bn": "settled on batch statistics"}.get(
        str(ratios), f"with {ratios} on batch statistics"
    )
    print_log(
        f"{source}: bn_to_sn made {len(layers)} of {every} switchable norms of "
        f"{type(module).__name__} from batch norms"
        + (f", their ratios {start}" if layers else "; the file has none in their place"),
        "current",
    )
    return state


@WEIGHT_INITIALIZERS.register_module(name="Pretrained", force=True)
class StrictPretrainedInit(PretrainedInit):
    """``init_cfg=dict(type='Pretrained', ...)`` that raises when the file does not fit.

    Args:
        checkpoint: Path, URL or model zoo name.
        prefix: Load only what the file has under this sub-module.
        map_location: As in ``torch.load``.
        allow_missing: See :func:`load_weights`; ``launch.load_config`` copies the top-level
            ``allow_missing_weights`` here.
        bn_to_sn: See :func:`load_weights`; ``launch.load_config`` copies the top-level ``bn_to_sn``
            here.
    """

    def __init__(
        self,
        checkpoint: str,
        prefix: str | None = None,
        map_location: Any = "cpu",
        allow_missing: Sequence[str] = (),
        bn_to_sn: str | float | None = None,
    ) -> None:
        super().__init__(checkpoint, prefix, map_location)
        self.allow_missing = allow_missing
        self.bn_to_sn = _checked_ratios(bn_to_sn, "init_cfg.bn_to_sn")

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``.

        Raises:
            CheckpointError: If the file is missing or does not fit.
        """
        checkpoint = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        state_dict = state_dict_of(checkpoint, self.checkpoint, self.prefix, module=module)
        load_weights(
            module, state_dict, self.checkpoint, self.allow_missing, bn_to_sn=self.bn_to_sn
        )
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())


def pretrained_configs(node: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every ``dict(type='Pretrained', ...)`` in a config, with the key that leads to it."""
    if isinstance(node, dict):
        if node.get("type") == "Pretrained":
            yield where, node
        for key, value in node.items():
            yield from pretrained_configs(value, f"{where}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from pretrained_configs(value, f"{where}[{index}]")


def allow_missing_weights(cfg: Config) -> None:
    """Copy the top-level ``allow_missing_weights`` into every Pretrained ``init_cfg``.

    Raises:
        ConfigError: If it is not a list of regular expressions.
    """
    patterns = cfg.get("allow_missing_weights") or []
    if isinstance(patterns, str) or not all(isinstance(p, str) for p in patterns):
        raise ConfigError(
            f"allow_missing_weights = {patterns!r}: write a list of regular expressions, e.g. "
            r"['roi_head\.bbox_head\.fc_cls']"
        )
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"allow_missing_weights: {pattern!r} is not a regular expression ({error})"
            ) from error
    for _, init_cfg in pretrained_configs(cfg.get("model"), "model"):
        init_cfg.setdefault("allow_missing", list(patterns))


def bn_to_sn(cfg: Config) -> None:
    """Copy the top-level ``bn_to_sn`` into every Pretrained ``init_cfg``.

    Raises:
        ConfigError: If it is not 'uniform', 'bn' or a number in (0, 1).
    """
    ratios = _checked_ratios(cfg.get("bn_to_sn"), "bn_to_sn")
    if ratios is not None:
        for _, init_cfg in pretrained_configs(cfg.get("model"), "model"):
            init_cfg.setdefault("bn_to_sn", ratios)


def _checked_ratios(ratios: Any, key: str) -> str | float | None:
    if ratios is None:
        return None
    try:
        check_ratios(ratios)
    except ValueError as error:
        raise ConfigError(f"{key} = {ratios!r}: {error}") from error
    checked: str | float = ratios
    return checked


def check_weight_files(cfg: Config) -> None:
    """Check, before anything is built, that the weight files which training will read exist.

    Raises:
        CheckpointError: Naming the config key, or ``--resume``, and the path.
    """
    wanted = [
        (f"{key}.checkpoint", init_cfg["checkpoint"])
        for key, init_cfg in pretrained_configs(cfg.get("model"), "model")
    ]
    if cfg.get("load_from") and cfg.get("resume") is True:
        check_named(cfg.load_from)
    elif cfg.get("load_from"):
        wanted.append(("load_from", cfg.load_from))
    for key, path in wanted:
        if "://" in path or Path(path).expanduser().is_file():
            continue
        published = by_path(path)
        fetch = (
            f" or by `python tools/download_checkpoint.py {published.name}`" if published else ""
        )
        raise CheckpointError(
            f"{key} = {path!r}: {Path(path).expanduser().absolute()} does not exist. Weights that "
            f"their authors released are put there by hand{fetch}; or set the key to the file you "
            f"have (--cfg-options {key}=PATH)"
        )


def _some(names: Sequence[str], separator: str = ", ", most: int = _LISTED) -> str:
    rest = len(names) - most
    return separator.join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _pattern(missing: Sequence[str], misfits: Sequence[str]) -> str:
    """An example of a pattern for one of the keys in question."""
    key = missing[0] if missing else misfits[0].removeprefix("size mismatch for ").partition(":")[0]
    return "^" + re.escape(key.rpartition(".")[0] or key)
