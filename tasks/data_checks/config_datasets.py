"""The data sets that a config holds."""

from __future__ import annotations

from collections.abc import Iterator


def plain_type(part: dict) -> str:
    """The type of a part of a config, without a scope."""
    return str(part.get("type")).split(".")[-1]


def leaf_datasets(dataset: dict) -> Iterator[dict]:
    """The config of a data set, or those of the data sets inside it where it is a wrapper."""
    inner = dataset.get("datasets", dataset.get("dataset"))
    if inner is None:
        yield dataset
        return
    for entry in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from leaf_datasets(entry)
