"""Label files whose values do not fit the classes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.data_checks import DatasetError, Problem, found

from .label_file import read_label
from .label_ids import label_ids_hint
from .label_values import IGNORED, LabelValues, wrong_values

_THREADS = 8  # decoders let other threads run meanwhile


def check_values(paths: Sequence[str], values: LabelValues) -> list[Problem]:
    """Decode labels and check their values.

    Args:
        paths: Label files.
        values: Which they may have.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda path: _examine(path, values), paths))
    unread = [error for error, _, _ in results if error]
    wrong = {path: met for path, (_, met, _) in zip(paths, results, strict=True) if met}
    problems = found(f"of {len(paths)} label files looked into cannot be read", unread)
    text = f"of {len(paths)} label files looked into do not fit {values.num_classes} classes"
    if wrong:
        all_met = {value for of_one in wrong.values() for value in of_one}
        text += label_ids_hint(wrong, all_met, values.num_classes, len(paths))
    problems += found(text, (wrong_values(path, of_one, values) for path, of_one in wrong.items()))
    if paths and not any(used for _, _, used in results):
        text = f"no pixel of {len(paths)} label files looked into has a class, such as {paths[0]}"
        problems.append(Problem(f"{text}; the values are {values}"))
    return problems


def _examine(path: str, values: LabelValues) -> tuple[str | None, list[int], bool]:
    """Why a label cannot be read, its wrong values, and whether any pixel may have a class."""
    try:
        label = read_label(path)
    except DatasetError as error:
        return str(error), [], True
    ignored = 0 if values.reduce_zero_label else IGNORED
    return None, values.wrong(label), bool((label != ignored).any())
