"""What a plan has to know of a config before it is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .plan import ROOT


@dataclass(frozen=True)
class ConfigFacts:
    """Facts of a config file.

    Attributes:
        path: From the project's root.
        content: What it says, in plain dicts.
        rules: Its `config_rules`.
        data_roots: Folders that its data sets read.
    """

    path: str
    content: dict[str, Any]
    rules: frozenset[str]
    data_roots: frozenset[str]

    @property
    def switches(self) -> set[str]:
        """Keys that take the root of own data; of several, those that the config's name has."""
        known = {rule for rule in self.rules if rule.endswith("_data")}
        named = {switch for switch in known if switch.removesuffix("_data") in self.path}
        return named or known

    @classmethod
    def read(cls, path: str) -> ConfigFacts:
        """Read a config.

        Args:
            path: From the project's root.

        Raises:
            ValueError: It cannot be read.
        """
        try:
            with warnings.catch_warnings():
                # On pkg_resources, once for every file that is inherited from a package.
                warnings.simplefilter("ignore")
                from mmengine.config import Config

                cfg = Config.fromfile(ROOT / path, import_custom_modules=False)
        except Exception as error:  # a config is a program
            raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
        roots = {
            value
            for split in ("train_dataloader", "val_dataloader")
            for key, value in leaves(cfg.get(split), split)
            if key.rsplit(".", 1)[-1] in ("data_root", "root")
        }
        # Where a switch is set, it says where the data are.
        rules = frozenset(cfg.get("config_rules") or ())
        own = {
            switch["root"]
            for rule in rules
            if isinstance(switch := cfg.get(rule), dict) and switch.get("root")
        }
        return cls(path, cfg.to_dict(), rules, frozenset(own or roots))


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and values of all strings of a config, or of what it has at a path."""
    if isinstance(node, str):
        yield path, node
        return
    children = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node or ())
        if isinstance(node, list | tuple)
        else ()
    )
    for key, child in children:
        yield from leaves(child, f"{path}.{key}" if path else str(key))
