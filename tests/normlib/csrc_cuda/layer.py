"""Switchable normalisation by the emulated kernels, and by the reference in float64."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from normlib.ops import reference
from normlib.ops.precision import accumulation_dtype
from normlib.ops.running import Running
from normlib.ops.settings import NORMALIZERS
from normlib.ops.settings import Settings as ReferenceSettings
from tests.normlib.csrc_cuda.emulated import Device, Kernels, Problem

# Few multiprocessors, so that small tensors take several blocks.
DEVICE = Device(multiprocessors=3, shared_memory=227 * 1024, cooperative=True)
DTYPES = {torch.float64: 1, torch.float32: 0, torch.float16: 2, torch.bfloat16: 3}
EPS = 1e-3
MOMENTUM = 0.2

_GUARD = 64


class Memory:
    """Tensors between guard elements; everything is NaN before it is written."""

    def __init__(self) -> None:
        self._guarded: list[tuple[Tensor, int, int]] = []

    def new(self, shape: tuple[int, ...], dtype: torch.dtype, misalignment: int = 0) -> Tensor:
        size = torch.Size(shape).numel()
        begin = _GUARD + misalignment
        whole = torch.empty(begin + size + _GUARD, dtype=dtype)
        whole.view(torch.uint8).fill_(0xFF)
        self._guarded.append((whole, begin, begin + size))
        return whole[begin : begin + size].view(shape)

    def check(self) -> None:
        for whole, begin, end in self._guarded:
            for guard in (whole[:begin], whole[end:]):
                assert (guard.view(torch.uint8) == 0xFF).all(), "written beyond a tensor"


@dataclass
class Case:
    """A call, and what it is called with."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    normalizers: tuple[str, ...] = NORMALIZERS
    unbiased: bool = False
    relu: bool = False
    residual: bool = False
    affine: bool = True
    fixed: bool = False
    misalignment: int = 0  # of x, in elements
    other_misalignment: int | None = None  # of the other tensors of its size, if different
    mean: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.n, self.c = self.shape[:2]
        self.s = torch.Size(self.shape[2:]).numel()
        # One position: both orders are the same, and the kernels know this one.
        self.channels_last = self.channels_last or self.s == 1
        random = torch.Generator().manual_seed(self.seed)
        accumulation = accumulation_dtype(torch.empty((), dtype=self.dtype))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=random, dtype=torch.float64)

        full = (self.n, self.c, self.s)
        # Samples, channels and rows differ in mean and size.
        size = normal(self.n, self.c, 1).exp() * 0.5 + 0.5
        x = size * (normal(*full) + normal(self.n, 1, 1) + normal(1, self.c, 1)) + self.mean
        self.x = x.to(self.dtype)
        self.grad = normal(*full).to(self.dtype)
        self.residual_value = normal(*full).to(self.dtype) if self.residual else None
        count = len(self.normalizers)
        self.mean_ratios = normal(count).softmax(0).to(accumulation)
        self.var_ratios = normal(count).softmax(0).to(accumulation)
        self.weight = normal(self.c).to(accumulation) if self.affine else None
        self.bias = normal(self.c).to(accumulation) if self.affine else None
        self.fixed_mean = normal(self.c).to(accumulation) if self.fixed else None
        self.fixed_var = normal(self.c).exp().to(accumulation) if self.fixed else None
        self.running_mean = normal(self.c).to(accumulation)
        self.running_var = normal(self.c).exp().to(accumulation)

    @property
    def has_mask(self) -> bool:
        return self.relu and self.residual

    def reference(self) -> dict[str, Tensor]:
        """Everything in float64, with gradients by autograd."""

        def leaf(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.double().clone().requires_grad_()

        x, residual = leaf(self.x), leaf(self.residual_value)
        ratios = (leaf(self.mean_ratios), leaf(self.var_ratios))
        affine = (leaf(self.weight), leaf(self.bias))
        fixed = tuple(None if v is None else v.double() for v in (self.fixed_mean, self.fixed_var))
        settings = ReferenceSettings(self.normalizers, EPS, self.unbiased, self.relu)
        y = reference.switch_norm(x, *ratios, *affine, *fixed, residual, None, settings)
        y.backward(self.grad.double())
        result = {
            "y": y.detach(),
            "dx": x.grad,
            "dmean_ratios": ratios[0].grad,
            "dvar_ratios": ratios[1].grad,
        }
        if self.affine:
            result |= {"dweight": affine[0].grad, "dbias": affine[1].grad}
        if residual is not None:
            result["dresidual"] = residual.grad
        return result | self._batch_reference(x.detach())

    def _batch_reference(self, x: Tensor) -> dict[str, Tensor]:
        """What ``channel`` and the running averages hold."""
        if self.fixed_mean is not None and self.fixed_var is not None:
            return {"batch_mean": self.fixed_mean.double(), "batch_var": self.fixed_var.double()}
        running = [self.running_mean.double(), self.running_var.double()]
        batch = [torch.zeros_like(value) for value in running]
        for averages, momentum in ((running, MOMENTUM), (batch, 1.0)):
            reference.switch_norm(
                x,
                *(torch.ones(1),) * 2,
                *(None,) * 5,
                Running(*averages, momentum),
                ReferenceSettings(("bn",), EPS, self.unbiased),
            )
        names = ("running_mean", "running_var", "batch_mean", "batch_var")
        return dict(zip(names, running + batch, strict=True))


class Layer:
    """The tensors of one process, as the binding sets them up."""

    def __init__(self, case: Case, kernels: Kernels, device: Device = DEVICE) -> None:
        self.case, self.kernels, self.device = case, kernels, device
        self.memory = Memory()
        self.accumulation = accumulation_dtype(case.x)
        n, c, s = case.n, case.c, case.s
        problem = self.problem = Problem()
        problem.dtype = DTYPES[case.dtype]
        problem.samples, problem.channels, problem.positions = n, c, s
        problem.channels_last = case.channels_last
        problem.settings.normalizers = sum(1 << NORMALIZERS.index(k) for k in case.normalizers)
        problem.settings.unbiased = case.unbiased
        problem.settings.relu = case.relu
        problem.settings.eps = EPS
        problem.momentum = MOMENTUM

        new, wide = self.memory.new, torch.float64
        self.tensors: dict[str, Tensor] = {
            "x": self._full(case.misalignment, case.x),
            "y": self._full(),
            "offset": new((n, c), self.accumulation),
            "variance": new((n, c), self.accumulation),
            "layer": new((n, 2), wide),
            "channel": new((1 + 2 * c,), wide),
            "mean_ratios": case.mean_ratios,
            "var_ratios": case.var_ratios,
        }
        self.tensors["batch"] = self.tensors["channel"]
        if case.affine:
            self.tensors |= {"weight": case.weight, "bias": case.bias}
        if not case.fixed:
            self.tensors |= {
                "running_mean": case.running_mean.clone(),
                "running_var": case.running_var.clone(),
            }
        else:
            self.tensors |= {"fixed_mean": case.fixed_mean, "fixed_var": case.fixed_var}
        if case.residual:
            self.tensors["residual"] = self._full(value=case.residual_value)
        if case.has_mask:
            rows, row = (n * s, c) if case.channels_last else (n * c, s)
            self.tensors["mask"] = new((rows, (row + 7) // 8), torch.uint8)
        problem.point_to(**self.tensors)

    def prepare_backward(self) -> None:
        n, c, k = self.case.n, self.case.c, len(self.case.normalizers)
        new, wide = self.memory.new, torch.float64
        tensors = {
            "grad": self._full(value=self.case.grad),
            "dx": self._full(),
            "sums": new((n, c, 2), self.accumulation),
            "layer_grad": new((n, 7), wide),
            "channel_grad": new((2 * c,), wide),
            "dmean_ratios": new((k,), self.accumulation),
            "dvar_ratios": new((k,), self.accumulation),
        }
        if self.case.affine:
            tensors |= {name: new((c,), self.accumulation) for name in ("dweight", "dbias")}
        if self.case.residual:
            tensors["dresidual"] = self._full()
        self.tensors |= tensors
        # The backward pass is given nothing that the forward pass did not save.
        self.problem.point_to(y=None, residual=None, running_mean=None, running_var=None)
        self.problem.point_to(**tensors)

    def enqueue(self, name: str) -> None:
        size = self.kernels.workspace_bytes(self.problem, self.device)
        workspace = self.memory.new((size,), torch.uint8)
        self.kernels.enqueue(name, self.problem, self.device, workspace)
        self.memory.check()

    def run(self, forward: tuple[str, ...] = ("statistics", "apply")) -> dict[str, Tensor]:
        for name in forward:
            self.enqueue(name)
        self.prepare_backward()
        for name in ("backward_reduce", "backward_apply"):
            self.enqueue(name)
        return self.results()

    def results(self) -> dict[str, Tensor]:
        channels = self.case.c
        channel = self.tensors["channel"]
        return self.tensors | {
            "batch_mean": channel[1 : 1 + channels],
            "batch_var": channel[1 + channels :],
        }

    def _full(self, misalignment: int | None = None, value: Tensor | None = None) -> Tensor:
        case = self.case
        if misalignment is None:
            misalignment = case.other_misalignment
        if misalignment is None:
            misalignment = case.misalignment
        n, c, s = case.n, case.c, case.s
        if case.channels_last:
            tensor = self.memory.new((n, s, c), case.dtype, misalignment).transpose(1, 2)
        else:
            tensor = self.memory.new((n, c, s), case.dtype, misalignment)
        return tensor if value is None else tensor.copy_(value)


TOLERANCE = {
    torch.float64: 1e-11,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


def assert_close(
    actual: dict[str, Tensor], expected: dict[str, Tensor], dtype: torch.dtype, scale: float = 1.0
) -> None:
    """Compare by the largest value of each tensor; what the kernels round last sets the error."""
    of_size_x = ("y", "dx", "dresidual")
    for name, want in expected.items():
        kind = dtype if name in of_size_x else accumulation_dtype(torch.empty((), dtype=dtype))
        tolerance = scale * TOLERANCE[kind]
        got = actual[name].double()
        assert got.shape == want.shape, name
        bound = tolerance * max(1.0, want.abs().max().item() if want.numel() else 0.0)
        error = (got - want).abs().max().item() if want.numel() else 0.0
        assert error <= bound, f"{name}: error {error:.2e}, allowed {bound:.2e}"


def check(case: Case, kernels: Kernels, scale: float = 1.0) -> None:
    assert_close(Layer(case, kernels).run(), case.reference(), case.dtype, scale)


def variant(case: Case, **changes: object) -> Case:
    return dataclasses.replace(case, **changes)
