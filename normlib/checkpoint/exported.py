"""Exported files, run and compared with the models they were made from."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Image sizes that are tried: multiples of each number, until the file takes them.
_STEPS = (1, 2, 4, 8, 16, 32, 64)

Run = Callable[[Tensor], Any]


class ExportError(ValueError):
    """A model cannot be exported, or its export does not compute what the model does."""


class UnwritableError(ExportError):
    """The disk refuses an exported file."""


class Agreement(NamedTuple):
    """How an exported file compares with its model.

    Attributes:
        difference: Largest difference, relative to the largest magnitude in the output in question.
        shapes: The input shapes compared.
        any_batch: Whether the batch size is free.
        multiple: Image sizes are free, as multiples of this number; None if only the size of the
            example serves.
    """

    difference: float
    shapes: tuple[tuple[int, ...], ...]
    any_batch: bool
    multiple: int | None


def package_for_onnx(name: str) -> Any:
    """Import an optional package.

    Raises:
        ExportError: It cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(
            f"ONNX files need the package {name}, which cannot be imported ({error}): "
            "pip install 'normlib[export]'"
        ) from error


def run_exported(path: str | Path, format: str) -> Run:
    """Load an exported file, to run it on the CPU with as many threads as PyTorch has.

    Args:
        path: The file.
        format: ``'onnx'`` or ``'torch_export'``.

    Returns:
        A function from the input to the outputs.

    Raises:
        ExportError: onnxruntime cannot be imported.
    """
    if format == "torch_export":
        with quiet():
            module: Run = torch.export.load(path).module()
        return module
    onnxruntime = package_for_onnx("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # What it refuses, it also raises.
    # Threads that wait would take the cores from what else runs in this process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(input: Tensor) -> list[Tensor]:
        outputs = session.run(None, {"input": input.detach().cpu().numpy()})
        return [torch.from_numpy(output) for output in outputs]

    return run


def compare(model: Run, exported: Run, example: Tensor, tolerance: float) -> Agreement:
    """Compare an exported file with its model, and find out which sizes it takes.

    Args:
        model: The model in evaluation.
        exported: From :func:`run_exported`.
        example: An input. Those of other sizes are drawn from its values.
        tolerance: Largest difference allowed, relative to the largest magnitude in an output.

    Raises:
        ExportError: The file fails on the example, or its outputs differ by more.
    """
    samples, channels, height, width = example.shape
    shapes: list[tuple[int, ...]] = [tuple(example.shape)]
    expected = _outputs(model, example)
    try:
        actual = _outputs(exported, example)
    except Exception as error:
        raise ExportError(f"the exported file does not run: {error}") from error
    difference = _difference(expected, actual)
    if not difference <= tolerance:
        raise ExportError(
            f"outputs of the exported file differ by {difference:.2g} of the largest magnitude, "
            f"more than {tolerance:.2g}"
        )

    def serves(*others: tuple[int, ...]) -> bool:
        nonlocal difference
        found = []
        for shape in others:
            input = _resampled(example, shape)
            try:
                found.append(_difference(_outputs(model, input), _outputs(exported, input)))
            except Exception:  # whatever a runtime, or the model, raises at a size it refuses
                return False
            if not found[-1] <= tolerance:
                return False
        shapes.extend(others)
        difference = max(difference, *found)
        return True

    any_batch = serves((1, channels, height, width), (samples + 1, channels, height, width))
    # From multiples of the largest step, so that k steps on is no multiple of a larger step.
    origin = [-(-size // _STEPS[-1]) * _STEPS[-1] for size in (height, width)]
    for step in _STEPS:
        factors = ((1, 2), (2, 3), (3, 1))
        sizes = [(origin[0] + a * step, origin[1] + b * step) for a, b in factors]
        if serves(*[(1 if any_batch else samples, channels, *size) for size in sizes]):
            return Agreement(difference, tuple(shapes), any_batch, step)
    return Agreement(difference, tuple(shapes), any_batch, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of PyTorch's exporters about their own parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _outputs(run: Run, input: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return _tensors(run(input.clone()))


def _tensors(output: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts.

    Raises:
        ExportError: There is something else.
    """
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if not isinstance(output, (tuple, list)):
        raise ExportError(f"the model returns a {type(output).__name__}, not tensors")
    return [tensor for part in output for tensor in _tensors(part)]


def _difference(expected: list[Tensor], actual: list[Tensor]) -> float:
    """Infinite where shapes differ, or something that is not finite appears in one alone."""
    if [t.shape for t in expected] != [t.shape for t in actual]:
        return float("inf")
    largest = 0.0
    for wanted, found in zip(expected, actual, strict=True):
        a, b = wanted.double().cpu(), found.double().cpu()
        if not torch.equal(a.isfinite(), b.isfinite()):
            return float("inf")
        a, b = (t.nan_to_num(0, 0, 0) for t in (a, b))
        if a.numel() and not torch.equal(a, b):
            largest = max(largest, float((a - b).abs().max() / a.abs().max()))
    return largest


def _resampled(example: Tensor, shape: tuple[int, ...]) -> Tensor:
    values = example.flatten()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(values), shape, generator=generator)
    return values[chosen.to(values.device)]
