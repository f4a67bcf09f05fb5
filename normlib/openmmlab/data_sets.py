"""The data sets that a config names, built without the wrappers and loaders around them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from normlib.openmmlab.errors import ConfigError

SPLITS = ("train", "val", "test")
_INNER = ("dataset", "datasets")


@dataclass(frozen=True)
class DataSource:
    """A data set of a config.

    Attributes:
        name: The first split that reads it; with a number where a split reads several.
        splits: All splits that read it.
        config: Its config.
    """

    name: str
    splits: tuple[str, ...]
    config: dict[str, Any]

    def build(self, to_examine: bool = False) -> Any:
        """Build it and read its annotations.

        The default scope has to be that of the config.

        Args:
            to_examine: Every sample will be examined: give it the arguments ``examined_with`` of
                its class, if there are any, which leave out what examining finds as well.
        """
        config = copy.deepcopy(self.config)
        if to_examine:
            config.update(getattr(_class_of(config), "examined_with", {}))
        dataset = DATASETS.build(config)
        if hasattr(dataset, "full_init"):  # lazy_init=True has put it off
            dataset.full_init()
        return dataset


def data_sources(cfg: Config, splits: Sequence[str] | None = None) -> list[DataSource]:
    """The data sets that the loaders of a config read, each of them once.

    Args:
        cfg: A config from :func:`normlib.openmmlab.launch.load_config`.
        splits: Of ``'train'``, ``'val'`` and ``'test'``; else those that the config has.

    Raises:
        ConfigError: If there is no such loader, or one without a data set.
    """
    present = [split for split in SPLITS if cfg.get(f"{split}_dataloader")]
    if absent := [split for split in splits or () if split not in present]:
        keys = ", ".join(f"{split}_dataloader" for split in absent)
        raise ConfigError(f"{_name(cfg)} has no {keys}; its splits: {', '.join(present) or 'none'}")
    if not present:
        raise ConfigError(f"{_name(cfg)} names no data: it has none of the loaders of {SPLITS}")

    readers: list[tuple[dict[str, Any], str, list[str]]] = []
    for split in dict.fromkeys(splits or present):
        loader = cfg[f"{split}_dataloader"]
        if not isinstance(loader.get("dataset"), dict):
            raise ConfigError(f"{_name(cfg)}: {split}_dataloader has no dataset")
        leaves = list(leaf_configs(loader["dataset"]))
        for number, leaf in enumerate(leaves, 1):
            same = next((by for config, _, by in readers if config == leaf), None)
            if same is None:
                name = split if len(leaves) == 1 else f"{split}-{number}"
                readers.append((leaf, name, [split]))
            elif split not in same:
                same.append(split)
    return [DataSource(name, tuple(by), config) for config, name, by in readers]


def _name(cfg: Config) -> str:
    return f"config {cfg.filename}" if cfg.filename else "the config"


def leaf_configs(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The data set, or what wrappers such as RepeatDataset and ConcatDataset hold."""
    inner = [dataset[key] for key in _INNER if key in dataset]
    if not inner:
        yield dataset
    for entry in inner:
        for part in entry if isinstance(entry, (list, tuple)) else [entry]:
            yield from leaf_configs(part)


def _class_of(config: dict[str, Any]) -> Any:
    kind = config["type"]
    if not isinstance(kind, str):
        return kind
    with DATASETS.switch_scope_and_registry(config.get("_scope_")) as registry:
        return registry.get(kind)
