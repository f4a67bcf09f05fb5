"""Every pass against the reference: shapes, layouts, data types and settings."""

from __future__ import annotations

import pytest
import torch

from tests.normlib.csrc_cuda.emulated import Kernels
from tests.normlib.csrc_cuda.layer import Case, Layer, assert_close, check, variant

SHAPES = [
    (4, 6, 5, 7),
    (2, 3, 4, 5, 6),
    (3, 33, 1, 1),
    (1, 5, 3, 3),
    (4, 1, 3, 3),
    (2, 48, 40, 40),
    (2, 20, 7, 7),
    (3, 40, 2, 2),
    (5, 16),
]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(
    kernels: Kernels, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    check(Case(shape, dtype, channels_last), kernels)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape", [(2, 3, 70, 71), (1, 2, 100, 100), (2, 2, 3, 4001), (70, 9, 3), (4, 300, 3, 3)]
)
def test_parts(
    kernels: Kernels, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    """Few channels and many positions: several blocks share a row; then many rows."""
    check(Case(shape, dtype, channels_last), kernels)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "normalizers", [("in",), ("ln",), ("bn",), ("in", "ln"), ("in", "bn"), ("ln", "bn")]
)
def test_normalizers(kernels: Kernels, normalizers: tuple[str, ...], channels_last: bool) -> None:
    case = Case((3, 10, 6, 5), torch.float64, channels_last, normalizers)
    check(case, kernels)
    fixed = variant(case, fixed=True)
    expected = fixed.reference()
    if normalizers == ("bn",):
        # Of one ratio: it has no direction on the simplex, and x is not read for it.
        del expected["dmean_ratios"]
    assert_close(Layer(fixed, kernels).run(), expected, fixed.dtype)


@pytest.mark.parametrize("positions", [1, 2, 30])
def test_unbiased(kernels: Kernels, positions: int) -> None:
    check(Case((4, 10, positions), torch.float64, unbiased=True), kernels)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_without_affine(kernels: Kernels, channels_last: bool, fixed: bool) -> None:
    check(Case((4, 6, 5, 7), torch.float64, channels_last, affine=False, fixed=fixed), kernels)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 20, 7, 7), (2, 16, 8, 8), (2, 7, 50, 41), (3, 33, 1)])
@pytest.mark.parametrize("residual", [False, True])
def test_activation(
    kernels: Kernels,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    channels_last: bool,
    residual: bool,
) -> None:
    check(Case(shape, dtype, channels_last, relu=True, residual=residual), kernels)


def test_residual_alone(kernels: Kernels) -> None:
    check(Case((3, 20, 7, 7), residual=True), kernels)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("misalignment", [(1, None), (3, None), (0, 1), (1, 2)])
@pytest.mark.parametrize("residual", [False, True])
def test_misaligned(
    kernels: Kernels,
    dtype: torch.dtype,
    channels_last: bool,
    misalignment: tuple[int, int | None],
    residual: bool,
) -> None:
    """Views whose first element does not lie at a multiple of 16 bytes."""
    of_x, of_others = misalignment
    for shape in ((2, 16, 7, 7), (2, 3, 50, 80)):
        check(
            Case(
                shape,
                dtype,
                channels_last,
                relu=residual,
                residual=residual,
                misalignment=of_x,
                other_misalignment=of_others,
            ),
            kernels,
        )
