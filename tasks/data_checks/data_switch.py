"""The config key by which own data take the place of a benchmark's: `NAME = dict(root=PATH)`."""

from __future__ import annotations

import os
from collections.abc import Collection

from mmengine.config import Config

from tasks.toy_data.folder import MANIFEST

from .problems import DatasetError


def read_switch(cfg: Config, name: str, keys: Collection[str]) -> dict[str, str]:
    """What the switch says.

    Args:
        cfg: The config; `generated_data` becomes true where tools/make_toy_data.py made the data.
        name: Key of the switch.
        keys: What it may hold, `root` among them.

    Returns:
        Its keys that are not None, `root` as a folder that exists; empty where there are none.

    Raises:
        DatasetError: The root is not a folder.
        ValueError: There is an unknown key, or no root.
    """
    given = {key: value for key, value in (cfg.get(name) or {}).items() if value is not None}
    if unknown := sorted(set(given) - set(keys)):
        raise ValueError(f"{name} has unknown keys {unknown}; known: {sorted(keys)}")
    if not given:
        return {}
    root = os.path.expanduser(given.get("root", ""))
    if not root:
        raise ValueError(f"{name} has {sorted(given)} but no root, the folder of the data")
    if not os.path.isdir(root):
        raise DatasetError(f"{name}.root={root!r} is not a folder (seen from {os.getcwd()})")
    if os.path.isfile(os.path.join(root, MANIFEST)):
        cfg.generated_data = True
    return given | {"root": root}
