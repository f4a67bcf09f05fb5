"""Norms that have settled on batch statistics, folded into the convolutions before them."""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from normlib.layers import SwitchNorm, switch_norm_layers

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *_TRANSPOSED)


class Folded(NamedTuple):
    """A model without the norms that could be folded.

    Attributes:
        model: A copy in evaluation mode, with ``nn.Identity`` in place of every folded norm, or
            ``nn.ReLU`` where that was its activation. It must not go back to training.
        convolutions: For the name of every folded norm, the name of its convolution.
        kept: For the name of every other switchable norm, why it stays as it is.
    """

    model: nn.Module
    convolutions: dict[str, str]
    kept: dict[str, str]


def fold(model: nn.Module, *example_inputs: Any, tolerance: float | None = None) -> Folded:
    r"""Fold switchable norms that use batch statistics alone into their convolutions.

    In evaluation such a norm is :math:`y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta`
    with the running statistics, an affine map of every channel, which the convolution before it
    can do. Weights and biases are computed in float64 and rounded once.

    Folded are layers that are settled on 'bn' for means and variances (see
    :meth:`normlib.SwitchNorm.settle` and :func:`normlib.harden`) or were made with the normalizers
    ``('bn',)``, where every input is what one ``nn.Conv*d``, ``nn.ConvTranspose*d`` or (for 2-D
    inputs) ``nn.Linear`` returned, nothing else reads that, and no residual is added. All others
    stay untouched: soft ratios, instance or layer statistics in means or variances, convolutions of
    other classes or with parametrized weights, modules with forward hooks, layers that no example
    reaches. What reads what is observed while the model runs on the examples, so they have to reach
    every branch of a model that has some.

    Args:
        model: Any module; it is not changed, and may be in training mode.
        example_inputs: Positional arguments that the model can be called with.
        tolerance: Largest difference allowed in the outputs for the examples, relative to the
            largest magnitude in each of them. By default 1e-5, or 10 times the machine epsilon of
            the coarsest dtype among parameters and outputs where that is more (half precision). The
            float32 rounding of a hundred layers can be more: fold such a model in float64, with
            ``fold(model.double(), ...).model.float()``.

    Raises:
        ValueError: The outputs of the folded model differ by more, or hold no tensor to compare.
    """
    folded = copy.deepcopy(model)
    folded.eval()  # which returns None in models that override train()
    flow = _Flow()
    with flow.watching(folded):
        result = folded(*copy.deepcopy(example_inputs))
    expected = [tensor.clone() for tensor in _tensors(result)]
    flow.returned(result)

    names = {module: name for name, module in folded.named_modules()}
    pairs: dict[SwitchNorm, nn.Module] = {}
    kept = {}
    for name, norm in switch_norm_layers(folded):
        conv = next(iter(flow.sources[norm]), None)
        if why := _obstacle(norm, conv, flow):
            kept[name] = why
        elif conv is not None:
            pairs[norm] = conv
    for norm, conv in pairs.items():
        _absorb(conv, norm)
    for parent in list(folded.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, SwitchNorm) and child in pairs:
                left = nn.ReLU() if child.activation == "relu" else nn.Identity()
                setattr(parent, name, left.eval())

    with _inference():
        actual = list(_tensors(folded(*copy.deepcopy(example_inputs))))
    if tolerance is None:
        tolerance = _tolerance([*expected, *folded.parameters()])
    _compare(expected, actual, tolerance)
    return Folded(folded, {names[norm]: names[conv] for norm, conv in pairs.items()}, kept)


class _Flow(TorchDispatchMode):
    """Records what reads the outputs of convolutions while a model runs.

    Attributes:
        readers: For a convolution, the norms that read what it returned; None for anything else.
        sources: For a norm, the convolutions that returned its inputs; None for anything else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[nn.Module, set[SwitchNorm | None]] = defaultdict(set)
        self.sources: dict[SwitchNorm, set[nn.Module | None]] = defaultdict(set)
        self._origins = WeakTensorKeyDictionary()
        self._inside_norm = False

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Record what the model does without gradients."""
        handles = []
        for module in model.modules():
            if isinstance(module, SwitchNorm):
                enter = module.register_forward_pre_hook(self._enter, with_kwargs=True)
                handles += [enter, module.register_forward_hook(self._leave)]
            elif _is_plain_convolution(module):
                handles.append(module.register_forward_hook(self._convolved))
        with _inference(), self:
            yield
        for handle in handles:
            handle.remove()

    def returned(self, result: Any) -> None:
        """Take note of what the model returned."""
        for tensor in _tensors(result):
            self._read(tensor, None)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not self._inside_norm:
            for tensor in _tensors([args, kwargs]):
                self._read(tensor, None)
        return func(*args, **(kwargs or {}))

    def _convolved(self, conv: nn.Module, args: Any, output: Tensor) -> None:
        if output.dim() == conv.get_parameter("weight").dim():
            self._origins[output] = conv
        else:  # Its channels are not dimension 1.
            self.readers[conv].add(None)

    def _enter(self, norm: SwitchNorm, args: Any, kwargs: dict[str, Any]) -> None:
        input, residual = _norm_arguments(*args, **kwargs)
        self.sources[norm].add(self._read(input, norm))
        if residual is not None:
            self._read(residual, None)
            self.sources[norm].add(None)
        self._inside_norm = True

    def _leave(self, norm: SwitchNorm, args: Any, output: Tensor) -> None:
        self._inside_norm = False

    def _read(self, tensor: Tensor, reader: SwitchNorm | None) -> nn.Module | None:
        conv: nn.Module | None = self._origins.get(tensor)
        if conv is not None:
            self.readers[conv].add(reader)
        return conv


@contextmanager
def _inference() -> Iterator[None]:
    """No gradients, and float32 convolutions in float32 also on CUDA."""
    kept = dict(enabled=None, benchmark=None, deterministic=None)
    with torch.no_grad(), torch.backends.cudnn.flags(**kept, allow_tf32=False):
        yield


def _is_plain_convolution(module: nn.Module) -> bool:
    """Whether it is a convolution, or one of a class that differs in its making alone."""
    kind = next((kind for kind in _CONVOLUTIONS if isinstance(module, kind)), None)
    if kind is None or _has_hooks(module):
        return False
    computes = ("forward", "_conv_forward", "__call__")
    given = [tuple(getattr(cls, name, None) for name in computes) for cls in (type(module), kind)]
    inherited = given[0] == given[1]
    # A weight that is computed from others, as by a parametrization, is no parameter.
    return inherited and module._parameters.get("weight") is not None


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _norm_arguments(input: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    return input, residual


def _obstacle(norm: SwitchNorm, conv: nn.Module | None, flow: _Flow) -> str | None:
    """Why a norm cannot be folded into the convolution, None if it can."""
    if norm.normalizers != ("bn",) and norm.choice != ("bn", "bn"):
        return "its ratios have not settled on batch statistics for means and variances"
    if norm.training:
        return "it stays in training mode after eval()"
    if _has_hooks(norm):
        return "it has forward hooks"
    if not flow.sources[norm]:
        return "the example inputs do not reach it"
    if conv is None or flow.sources[norm] != {conv}:
        return "its input is not always the output of one convolution, or a residual is added"
    if flow.readers[conv] != {norm}:
        return "the output of its convolution is also read elsewhere"
    return None


def _absorb(conv: nn.Module, norm: SwitchNorm) -> None:
    """Give a convolution the weight and bias that make the norm superfluous."""
    assert isinstance(conv, _CONVOLUTIONS)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (_exact(norm.running_var) + norm.eps).rsqrt()
    if norm.weight is not None:
        scale *= _exact(norm.weight)
    bias = torch.zeros_like(scale) if conv.bias is None else _exact(conv.bias)
    bias = (bias - _exact(norm.running_mean)) * scale
    if norm.bias is not None:
        bias += _exact(norm.bias)

    rows = scale.unsqueeze(1)
    if isinstance(conv, _TRANSPOSED):  # The weight is (in, out / groups, *kernel).
        rows = scale.view(conv.groups, 1, -1).repeat(1, conv.in_channels // conv.groups, 1)
        rows = rows.flatten(0, 1)
    old = conv.weight
    weight = _exact(old) * rows.view(*rows.shape, *[1] * (old.dim() - 2))
    conv.weight = nn.Parameter(weight.to(old), old.requires_grad)
    conv.bias = nn.Parameter(bias.to(old), old.requires_grad)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64, copy=True)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors in nested containers and in the fields of objects, in a fixed order."""
    seen: dict[int, Any] = {}
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, Tensor):
            yield value
        elif id(value) not in seen and not isinstance(value, (type, ModuleType, nn.Module)):
            seen[id(value)] = value
            rest += reversed(list(_parts(value)))


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple)):
        return value
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return getattr(value, "__dict__", {}).values()


def _tolerance(tensors: Iterable[Tensor]) -> float:
    epsilons = [torch.finfo(t.dtype).eps for t in tensors if t.is_floating_point()]
    return max(1e-5, 10 * max(epsilons, default=0))


def _compare(expected: list[Tensor], actual: list[Tensor], tolerance: float) -> None:
    if not expected:
        raise ValueError(
            "fold: the outputs for the example inputs hold no tensor to compare; wrap the model in "
            "one that returns tensors"
        )
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (expected, actual)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"fold: the outputs have shapes {shapes[0]}, and {shapes[1]} when folded")
    for k, (tensor, other) in enumerate(zip(expected, actual, strict=True)):
        a, b = tensor.double(), other.double()
        largest = a[a.isfinite()].abs().max().item() if a.isfinite().any() else 0.0
        if not torch.allclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True):
            difference = (a - b).abs().max().item()
            raise ValueError(
                f"fold: output {k} differs by {difference:.2g} where its largest magnitude is "
                f"{largest:.2g}, more than the tolerance of {tolerance:.2g} times that. Either the "
                "model draws random numbers or uses the weight of a convolution outside it, or it "
                "is so deep that roundings add up: then fold it in float64"
            )
