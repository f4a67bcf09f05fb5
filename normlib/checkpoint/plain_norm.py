"""Switchable norms in evaluation as a few operators that every runtime has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from normlib.layers import SwitchNorm
from normlib.ops.precision import accumulation_dtype


class _Mixture(NamedTuple):
    """Ratios of the statistics that take part; those of ratio 0 are left out."""

    mean: Mapping[str, float]
    var: Mapping[str, float]

    def needs(self, *names: str) -> bool:
        return any(name in ratios for ratios in self for name in names)


class PlainSwitchNorm(nn.Module):
    """A :class:`normlib.SwitchNorm` that cannot learn any more, for graphs that leave PyTorch.

    The ratios become numbers of the graph, and what has ratio 0 is not computed. Statistics are
    float32 (float64 for float64 input), taken from the centred input: runtimes are slow, or stop,
    at the float64 that the layer keeps for what is of size (N, C).

    Args:
        layer: The layer, whose parameters and running statistics are copied.

    Attributes:
        weight, bias, running_mean, running_var: Buffers of shape (C,), None where the layer has
            none or they take no part.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(self, layer: SwitchNorm) -> None:
        super().__init__()
        self.eps = layer.eps
        self.unbiased = layer.unbiased
        self.relu = layer.activation == "relu"
        self._with_positions = _mixture(layer, 3)
        without_instances = set(layer.normalizers) - {"in"}
        settled_on_instances = layer.choice == ("in", "in")
        self._without_positions = (
            _mixture(layer, 2) if without_instances and not settled_on_instances else None
        )
        used = self._with_positions.needs("bn") or (
            self._without_positions is not None and self._without_positions.needs("bn")
        )
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(layer, name)
            if value is not None and (used or not name.startswith("running")):
                self.register_buffer(name, value.detach().clone())
            else:
                self.register_buffer(name, None)
        self.eval()

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalise a tensor of shape (N, C, *spatial), see :meth:`SwitchNorm.forward`."""
        dtype = accumulation_dtype(input)
        x = _as(input, dtype)
        mixture = self._with_positions if x.dim() > 2 else self._without_positions
        assert mixture is not None  # the layer itself refuses such an input
        y = self._mixed(x, mixture) if mixture.needs("in", "ln") else self._fixed(x)
        if residual is not None:
            y = y + _as(residual, dtype)
        if self.relu:
            y = y.relu()
        return _as(y, input.dtype)

    def extra_repr(self) -> str:
        """The ratios."""
        mean, var = (
            {name: round(ratio, 4) for name, ratio in ratios.items()}
            for ratios in self._with_positions
        )
        return f"mean={mean}, var={var}"

    def _fixed(self, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            None if vector is None else _as(vector, x.dtype)
            for vector in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        return functional.batch_norm(x, mean, var, weight, bias, training=False, eps=self.eps)

    def _mixed(self, x: Tensor, mixture: _Mixture) -> Tensor:
        positions = list(range(2, x.dim()))
        # Differences of means are small beside them, and lose nothing that the means share.
        mean = x.mean(positions, keepdim=True) if positions else x
        shift = _weighted(
            {name: self._mean(name, mean) - mean for name in mixture.mean if name != "in"},
            mixture.mean,
        )
        centred = x - mean if positions else None

        var: Tensor | None = None
        if centred is not None and ("in" in mixture.var or "ln" in mixture.var):
            var = (centred * centred).mean(positions, keepdim=True)
            if self.unbiased:
                # Not numel(), nor a ratio of Python numbers, which tie a graph to one size.
                count = torch.scalar_tensor(math.prod(x.shape[2:]), dtype=x.dtype, device=x.device)
                var = var * (count / (count - 1).clamp(min=1))
        variances = {name: self._var(name, mean, var) for name in mixture.var}
        mixed_var = _weighted(variances, mixture.var)
        assert mixed_var is not None  # ratios sum to 1

        scale = (mixed_var + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * _over(self.weight, x)
        terms = [] if centred is None else [centred * scale]
        if shift is not None:
            terms.append(-shift * scale)
        if self.bias is not None:
            bias = _over(self.bias, x)
            terms.append(terms.pop() + bias)
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]

    def _mean(self, name: str, mean: Tensor) -> Tensor:
        if name == "ln":
            return mean.mean(1, keepdim=True)
        assert self.running_mean is not None
        return _over(self.running_mean, mean)

    def _var(self, name: str, mean: Tensor, var: Tensor | None) -> Tensor:
        if name == "bn":
            assert self.running_var is not None
            return _over(self.running_var, mean)
        if name == "in":
            assert var is not None
            return var
        between = mean - mean.mean(1, keepdim=True)
        within = between * between if var is None else var + between * between
        return within.mean(1, keepdim=True)


def replace_norms(model: nn.Module) -> nn.Module:
    """Put a :class:`PlainSwitchNorm` in the place of every switchable norm of a model.

    Returns:
        The model, changed in place, or what replaces it where it is a norm itself.
    """
    plain: dict[nn.Module, nn.Module] = {}
    for module in list(model.modules()):
        if isinstance(module, SwitchNorm):
            plain[module] = PlainSwitchNorm(module)
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in plain:
                setattr(parent, name, plain[child])
    return plain.get(model, model)


@torch.no_grad()
def _mixture(layer: SwitchNorm, dim: int) -> _Mixture:
    """The ratios that a layer uses for inputs of this number of dimensions."""
    example = layer.mean_weight.new_empty((1,) * dim)
    names, mean_logits, var_logits = layer._active(example)
    mean, var = (
        {name: ratio for name, ratio in zip(names, ratios.tolist(), strict=True) if ratio}
        for ratios in layer._ratios_of(mean_logits, var_logits)
    )
    return _Mixture(mean, var)


def _weighted(values: Mapping[str, Tensor], ratios: Mapping[str, float]) -> Tensor | None:
    total = None
    for name, value in values.items():
        term = value if ratios[name] == 1 else value * ratios[name]
        total = term if total is None else total + term
    return total


def _over(vector: Tensor, x: Tensor) -> Tensor:
    """A vector of shape (C,) in the shape and dtype that broadcast against ``x``."""
    return _as(vector, x.dtype).view(-1, *[1] * (x.dim() - 2))


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # Cast only where that does something: each cast would be a node of the graph.
    return tensor if tensor.dtype == dtype else tensor.to(dtype)
