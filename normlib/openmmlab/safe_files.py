"""Data files that mmengine reads by their suffix, without running code from them.

``mmengine.load`` unpickles ``.pkl`` files and lets YAML files name any Python object. Lists of
annotations, proposals of mmdet and configs in YAML go through it.
"""

from __future__ import annotations

from typing import Any, TextIO

import yaml  # type: ignore[import-untyped]
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler

from normlib.openmmlab.errors import ConfigError

_TUPLE = "tag:yaml.org,2002:python/tuple"


def install() -> None:
    """Let ``mmengine.load`` refuse pickles, and YAML that holds more than data."""
    register_handler(["pickle", "pkl"])(RefusedPickle)
    register_handler(["yaml", "yml"])(PlainYaml)


class RefusedPickle(PickleHandler):
    """Writes pickles, and reads none."""

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        """Refuse to read.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"{getattr(file, 'name', 'a pickle')} is not read: a pickle can run any program "
            "on loading. Write what it holds as JSON, and name that file instead (such as ann_file "
            "or proposal_file of a data set)"
        )


class PlainYaml(YamlHandler):
    """Reads YAML that holds data: dicts, lists, tuples, texts, numbers, dates."""

    def load_from_fileobj(self, file: TextIO, **kwargs: Any) -> Any:
        """Read a file.

        Raises:
            ConfigError: It is not YAML, or it names Python objects.
        """
        try:
            return yaml.load(file, Loader=_PlainLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(
                f"{getattr(file, 'name', 'a text')} is not YAML that holds data alone: {error}"
            ) from error


class _PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """As mmengine writes tuples, they can be read."""


_PlainLoader.add_constructor(
    _TUPLE, lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
)
