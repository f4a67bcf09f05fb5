"""Label files whose values do not fit the classes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.data_checks import DatasetError, Problem, found

from .label_file import read_label
from .label_values import IGNORED, LabelValues, wrong_values

_THREADS = 4


def check_values(paths: Sequence[str], values: LabelValues) -> list[Problem]:
    """Decode labels and check their values.

    Args:
        paths: Label files.
        values: Which they may have.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda path: _examine(path, values), paths))
    text = f"of {len(paths)} label files looked into do not fit {values.num_classes} classes"
    problems = found(text, (trouble for trouble, _ in results if trouble))
    if paths and not any(used for _, used in results):
        text = f"no pixel of {len(paths)} label files looked into has a class, such as {paths[0]}"
        problems.append(Problem(f"{text}; the values are {values}"))
    return problems


def _examine(path: str, values: LabelValues) -> tuple[str | None, bool]:
    """What is wrong with a label, and whether any pixel may have a class."""
    try:
        label = read_label(path)
    except DatasetError as error:
        return str(error), True
    ignored = 0 if values.reduce_zero_label else IGNORED
    wrong = values.wrong(label)
    return wrong_values(path, wrong, values) if wrong else None, bool((label != ignored).any())
