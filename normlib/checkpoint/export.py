"""Trained models as graphs that run without this library: ONNX files and exported programs."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.fx.experimental import _config as symbols_config

from normlib.checkpoint.exported import (
    Agreement,
    ExportError,
    UnwritableError,
    compare,
    package_for_onnx,
    quiet,
    run_exported,
)
from normlib.checkpoint.fold import Folded, fold
from normlib.checkpoint.plain_norm import replace_norms
from normlib.checkpoint.saving import replacing

# Formats, and the ends of their files' names.
FORMATS = {"torch_export": ".pt2", "onnx": ".onnx"}
_AXES = {0: "batch", 2: "height", 3: "width"}


class Exported(NamedTuple):
    """What :func:`export` has done.

    Attributes:
        path: The file.
        folded: The model with the norms folded that could be, and why the others were not.
        agreement: How the file, when it is run, compares with the model.
    """

    path: Path
    folded: Folded
    agreement: Agreement


def export(
    model: nn.Module,
    example: Tensor,
    path: str | Path,
    format: str,
    *,
    tolerance: float = 1e-4,
    overwrite: bool = False,
) -> Exported:
    """Write a model in evaluation as a graph of standard operators.

    Norms that have settled on batch statistics are folded into convolutions (:func:`fold`); the
    other switchable norms are written out, see :mod:`normlib.checkpoint.plain_norm`. ``'onnx'``
    gives one ONNX file with operators of the standard domain, ``'torch_export'`` an
    ``ExportedProgram`` for ``torch.export.load``, which needs torch alone. Batch and image sizes
    are free as far as the model lets them. Before the file gets its name, it is run and compared
    with the model, on the example and on other batch and image sizes.

    Args:
        model: Takes one tensor of shape (N, C, H, W) and returns tensors, nested in tuples, lists
            or dicts if need be. It is not changed.
        example: An input with 2 samples or more, on the device of the model.
        path: The file, which ends in ``.onnx`` or ``.pt2``; missing folders are made.
        format: ``'onnx'`` or ``'torch_export'``.
        tolerance: Largest difference allowed, relative to the largest magnitude in an output.
        overwrite: Replace the file if it exists.

    Raises:
        ExportError: The file exists, a package is missing, or the model cannot be written as one
            graph with the same outputs. No file is left.
    """
    path = Path(path)
    check_request(path, format, overwrite)
    if example.dim() != 4 or example.shape[0] < 2:
        raise ExportError(
            f"the example has shape {tuple(example.shape)}; it must be (N, C, H, W) with N of 2 or "
            "more: a graph that was recorded with one sample is one for one sample"
        )
    original = copy.deepcopy(model)
    original.eval()
    folded = _folded(original, example, tolerance)
    program = _recorded(replace_norms(copy.deepcopy(folded.model)), example)
    try:
        with replacing(path) as scratch:
            if format == "onnx":
                _write_onnx(program, scratch)
            else:
                # torch's own writer would abort the process where the disk is full.
                content = io.BytesIO()
                torch.export.save(program, content)
                scratch.write_bytes(content.getbuffer())
            agreement = compare(original, run_exported(scratch, format), example, tolerance)
    except OSError as error:
        raise UnwritableError(f"{path.absolute()} cannot be written: {error}") from error
    return Exported(path, folded, agreement)


def check_request(path: Path, format: str, overwrite: bool) -> None:
    """Raise an ExportError if a file of this format cannot be written there."""
    if format not in FORMATS:
        raise ExportError(f"format is {format!r}; it must be {' or '.join(map(repr, FORMATS))}")
    if path.suffix != FORMATS[format]:
        raise ExportError(
            f"{path} ends in {path.suffix!r}; the name of a file of format {format} has to end in "
            f"{FORMATS[format]!r}"
        )
    if path.exists() and not (overwrite and path.is_file()):
        raise ExportError(f"{path.absolute()} exists already; name another file, or overwrite it")
    for package in ("onnx", "onnxscript", "onnxruntime") if format == "onnx" else ():
        package_for_onnx(package)


def _folded(model: nn.Module, example: Tensor, tolerance: float) -> Folded:
    try:
        return fold(model, example, tolerance=tolerance)
    except Exception as error:
        raise ExportError(
            f"the model does not run on one tensor of shape {tuple(example.shape)} as it has to: "
            f"{_summary(error)}"
        ) from error


def _recorded(model: nn.Module, example: Tensor) -> ExportedProgram:
    """The graph of a model, with batch and image sizes free where they can be."""
    shapes = ({axis: Dim.AUTO(min=1) for axis in _AXES},)
    try:
        # Sizes are not assumed to differ from 1: small maps shrink to it.
        any_size = symbols_config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
        with torch.no_grad(), any_size, quiet():
            program = torch.export.export(model, (example,), dynamic_shapes=shapes)
    except Exception as error:
        raise ExportError(
            f"the model cannot be recorded as one graph: {_summary(error)}"
        ) from error
    operators = {
        str(node.target)
        for module in program.graph_module.modules()
        if isinstance(module, GraphModule)
        for node in module.graph.nodes
        if getattr(node.target, "namespace", "aten") not in ("aten", "prim", "prims")
    }
    if operators:
        raise ExportError(
            f"the model needs operators that are not PyTorch's own: {', '.join(sorted(operators))}"
        )
    return program


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    (placeholder,) = (
        node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs
    )
    sizes = placeholder.meta["val"].shape
    free = {axis: name for axis, name in _AXES.items() if not isinstance(sizes[axis], int)}
    outputs = program.graph_signature.user_outputs
    numbers = [""] if len(outputs) == 1 else [str(k) for k in range(len(outputs))]
    try:
        with quiet():
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                input_names=["input"],
                output_names=[f"output{number}" for number in numbers],
                dynamic_shapes=(free,),
                verbose=False,
            )
    except Exception as error:
        raise ExportError(f"the graph cannot be written as ONNX: {_summary(error)}") from error
    assert onnx_program is not None
    domains = set(onnx_program.model.opset_imports) - {""}
    if domains:
        raise ExportError(f"the ONNX graph needs operators outside the standard: {sorted(domains)}")
    onnx_program.save(path, external_data=False)


def _summary(error: Exception) -> str:
    """The first line of an error, which may be pages long."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
