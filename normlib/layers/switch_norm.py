"""Switchable normalisation (SN) and its synchronised form (SyncSN)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from normlib import functional
from normlib.ops import sync
from normlib.ops.registration import backend

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

# A chosen control parameter is written as 0 and the others as -HARD_GAP. Softmax and SparsestMax
# of such a vector are one-hot to the last bit with gradient exactly 0, whatever the radius, so that
# a choice needs no entry of its own in the state dict.
HARD_GAP = 1e4
_RECOGNISED_GAP = 1e3


class Choice(NamedTuple):
    """Statistics that a layer has settled on, None where the ratios are still soft."""

    mean: str | None
    var: str | None


class SwitchNorm(nn.Module):
    r"""Switchable normalisation over a learned mixture of instance, layer and batch statistics.

    Luo et al., "Differentiable Learning-to-Normalize via Switchable Normalization" (arXiv
    1806.10779): :math:`y = \gamma (x - \sum_k w_k \mu_k) / \sqrt{\sum_k w'_k \sigma_k^2 +
    \epsilon} + \beta` with ratios :math:`w, w'` the softmax of ``mean_weight`` and ``var_weight``.

    In evaluation the batch statistics are running averages; instance and layer statistics always
    come from the input. Running averages take in the biased variance that the layer normalises
    with, which differs from ``nn.BatchNorm2d``.

    Shape:
        Input (N, C) to (N, C, D, H, W), in any memory format; output the same. A 2-D input has no
        instance statistics: the ratios are then taken over the other normalizers.

    Args:
        num_features: Number of channels C.
        eps: Added to the mixed variance.
        momentum: Weight of new batch statistics in the running ones, as in torch (1 minus the
            momentum of the released code); None for a cumulative average.
        affine: Learn gamma (``weight``) and beta (``bias``).
        normalizers: The statistics to mix, a subset of ``('in', 'ln', 'bn')`` in that order.
        unbiased: Take the instance variance with divisor S - 1, like the released layers, whose
            checkpoints then evaluate to the published figures.
        activation: ``'relu'`` to apply it to the output, in the same sweep over memory.
        dropout: Probability of dropout on the output in training; the authors find that 0.1 to 0.2
            after SN helps a little (Table XI).
        device: Device of parameters and buffers.
        dtype: Data type of parameters and buffers.

    Attributes:
        weight, bias: gamma and beta, shape (C,).
        mean_weight, var_weight: Control parameters, shape (K,), in the order of ``normalizers``.
        running_mean, running_var: Running batch statistics, shape (C,).
        num_batches_tracked: Number of batches averaged, shape (), where ``momentum`` is None.
        choice: What the ratios have settled on, see :meth:`settle`. It is read back from the
            control parameters when a state dict is loaded; every rank has to load it.

    Raises:
        ValueError: An argument is out of range, or an input has the wrong shape.
    """

    _abbr_ = "sn"
    _version = 2
    _dims: tuple[int, ...] = (2, 3, 4, 5)

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        normalizers: Sequence[str] = functional.NORMALIZERS,
        unbiased: bool = False,
        activation: str | None = None,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        functional.check_normalizers(normalizers)
        functional.check_activation(activation)
        backend()
        if num_features < 1:
            raise ValueError(f"num_features is {num_features}; it must be 1 or more")
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; it must lie in [0, 1] or be None")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must lie in [0, 1)")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.normalizers = tuple(normalizers)
        self.unbiased = unbiased
        self.activation = activation
        self.dropout = dropout
        self.choice = Choice(None, None)

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, device=device, dtype=dtype)

        for name in ("weight", "bias"):
            self.register_parameter(name, nn.Parameter(empty(num_features)) if affine else None)
        self.mean_weight = nn.Parameter(empty(len(self.normalizers)))
        self.var_weight = nn.Parameter(empty(len(self.normalizers)))
        tracked = "bn" in self.normalizers
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, empty(num_features) if tracked else None)
        # A float, since hooks may average buffers over ranks.
        counted = tracked and momentum is None
        self.register_buffer("num_batches_tracked", empty() if counted else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0 and the running variance to 1."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set gamma to 1, beta to 0, the ratios to uniform, and reset the running statistics."""
        self.reset_running_stats()
        with torch.no_grad():
            if self.weight is not None and self.bias is not None:
                self.weight.fill_(1)
                self.bias.zero_()
            self.mean_weight.fill_(1)
            self.var_weight.fill_(1)
        self.choice = Choice(None, None)

    def ratio_function(self, logits: Tensor) -> Tensor:
        """Ratios of control parameters of shape (*, K): here their softmax."""
        return logits.softmax(-1)

    def ratios(self) -> tuple[Tensor, Tensor]:
        """Ratios of the means and of the variances, each of shape (K,)."""
        return self._ratios_of(*self._control_parameters())

    @torch.no_grad()
    def harden(self) -> None:
        """Make the ratios one-hot at their largest entry; they no longer receive gradients."""
        mean, var = (self.normalizers[int(r.argmax())] for r in self.ratios())
        self.settle(Choice(mean, var))

    @torch.no_grad()
    def settle(self, choice: Choice) -> None:
        """Make the ratios named in ``choice`` one-hot; where it is None they stay as they are."""
        for logits, chosen in zip((self.mean_weight, self.var_weight), choice, strict=True):
            if chosen is not None:
                logits.copy_(self._settled_logits(logits, chosen))
        self.choice = Choice(choice.mean or self.choice.mean, choice.var or self.choice.var)

    @torch.no_grad()
    def release(self, confidence: float = 0.5) -> bool:
        """Let one-hot ratios learn again, from a soft start.

        Args:
            confidence: Ratio that the chosen statistics start from; the others share the rest.

        Returns:
            Whether any ratios were one-hot.

        Raises:
            ValueError: The confidence does not lie in (0, 1).
        """
        if not 0 < confidence < 1:
            raise ValueError(f"release: confidence is {confidence}; it must lie in (0, 1)")
        count = len(self.normalizers)
        parameters = (self.mean_weight, self.var_weight)
        one_hot = [count > 1 and bool(ratios.max() == 1) for ratios in self.ratios()]
        for logits, ratios, released in zip(parameters, self.ratios(), one_hot, strict=True):
            if released:
                soft = torch.full_like(logits, (1 - confidence) / (count - 1))
                soft[ratios.argmax()] = confidence
                logits.copy_(self._logits_of(soft))
        self.choice = Choice(None, None)
        return any(one_hot)

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalise a tensor of shape (N, C, *spatial).

        Args:
            input: The tensor.
            residual: A tensor like it that is added before the activation; not with dropout.
        """
        self._check_input(input)
        if residual is not None and self.dropout:
            raise ValueError(f"{type(self).__name__}: dropout would drop the residual as well")
        normalizers, mean_logits, var_logits = self._active(input)
        batch = self.training and "bn" in normalizers
        output = functional.switch_norm(
            input,
            *self._ratios_of(mean_logits, var_logits),
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=self.momentum,
            num_batches_tracked=self.num_batches_tracked,
            eps=self.eps,
            normalizers=normalizers,
            unbiased=self.unbiased,
            activation=self.activation,
            residual=residual,
            process_group=self._process_group() if batch else None,
        )
        if self.dropout and self.training:
            return nn.functional.dropout(output, self.dropout)
        return output

    def extra_repr(self) -> str:
        """Arguments that differ in what the layer computes."""
        text = (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"normalizers={self.normalizers}"
        )
        text += ", unbiased=True" if self.unbiased else ""
        text += f", activation={self.activation!r}" if self.activation else ""
        text += f", dropout={self.dropout}" if self.dropout else ""
        return text + (f", choice={tuple(self.choice)}" if any(self.choice) else "")

    def _ratios_of(self, mean_logits: Tensor, var_logits: Tensor) -> tuple[Tensor, Tensor]:
        return self.ratio_function(mean_logits), self.ratio_function(var_logits)

    def _logits_of(self, ratios: Tensor) -> Tensor:
        """Control parameters whose ratios these are."""
        return ratios.log()

    def _process_group(self) -> ProcessGroup | None:
        return None

    def _active(self, input: Tensor) -> tuple[tuple[str, ...], Tensor, Tensor]:
        """The normalizers that take part in this call, and their control parameters."""
        mean_logits, var_logits = self._control_parameters()
        active = self.normalizers
        if None not in self.choice:
            active = tuple(name for name in active if name in self.choice)
        if input.dim() == 2:
            active = tuple(name for name in active if name != "in")
        if active == self.normalizers:
            return active, mean_logits, var_logits
        if not active:
            raise ValueError(
                f"{type(self).__name__}: input of shape {tuple(input.shape)} has no instance "
                f"statistics, and the layer has no others (normalizers={self.normalizers}, "
                f"choice={tuple(self.choice)})"
            )
        places = [self.normalizers.index(name) for name in active]
        adjacent = places[-1] - places[0] == len(places) - 1
        kept = slice(places[0], places[-1] + 1) if adjacent else places
        return active, mean_logits[kept], var_logits[kept]

    def _control_parameters(self) -> tuple[Tensor, Tensor]:
        """The control parameters, those of settled ratios whatever an optimizer did to them."""
        held = []
        for logits, chosen in zip((self.mean_weight, self.var_weight), self.choice, strict=True):
            if chosen is not None:
                settled = self._settled_logits(logits, chosen)
                # The product keeps the parameter in the graph, which DDP waits for.
                held.append(settled + 0 * logits if torch.is_grad_enabled() else settled)
            else:
                held.append(logits)
        return held[0], held[1]

    def _settled_logits(self, logits: Tensor, chosen: str) -> Tensor:
        settled = torch.full_like(logits, -HARD_GAP, requires_grad=False)
        settled[self.normalizers.index(chosen)] = 0
        return settled

    def _check_input(self, input: Tensor) -> None:
        name = type(self).__name__
        if input.dim() not in self._dims:
            allowed = " or ".join(str(d) for d in self._dims)
            raise ValueError(
                f"{name}: input has shape {tuple(input.shape)}, {input.dim()} dimensions; "
                f"it must have {allowed}"
            )
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{name}: input of shape {tuple(input.shape)} has {input.shape[1]} channels "
                f"(dimension 1); the layer was made for {self.num_features}"
            )

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        self.settle(self.choice)
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = state_dict.get(prefix + name)
            if value is not None and value.numel() == self.num_features:
                state_dict[prefix + name] = value.reshape(-1)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.choice = Choice(*(self._settled(v) for v in (self.mean_weight, self.var_weight)))

    def _settled(self, logits: Tensor) -> str | None:
        values = logits.tolist() if logits.device.type != "meta" else []
        best = max(range(len(values)), key=values.__getitem__, default=0)
        others = [v for k, v in enumerate(values) if k != best]
        if others and values[best] - max(others) >= _RECOGNISED_GAP:
            return self.normalizers[best]
        return None


class SyncSwitchNorm(SwitchNorm):
    """SN whose batch statistics are shared over the processes of a group.

    One collective in the forward pass and one in the backward, on gloo and NCCL; ranks may hold
    different numbers of samples and positions, or none. A layer whose choice of means and variances
    both leave the batch out communicates nothing, and no longer updates its running statistics. In
    one process it is :class:`SwitchNorm`.

    Every rank has to run the layer, forward and backward, the same number of times, with inputs
    that all require gradients or none, and with the same choice.

    Args:
        num_features: Number of channels C.
        eps: See :class:`SwitchNorm`.
        momentum: See :class:`SwitchNorm`.
        affine: See :class:`SwitchNorm`.
        process_group: Processes to synchronise over, None for all.
        **kwargs: See :class:`SwitchNorm`.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        process_group: ProcessGroup | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, **kwargs)
        self.process_group = process_group

    def __deepcopy__(self, memo: dict[int, Any]) -> SyncSwitchNorm:
        """Copy the layer; the copy works with the same processes."""
        memo[id(self.process_group)] = self.process_group
        twin = type(self).__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def _process_group(self) -> ProcessGroup | None:
        return sync.synchronizing_group(self.process_group)


class SwitchNorm1d(SwitchNorm):
    """:class:`SwitchNorm` for inputs of shape (N, C) or (N, C, L)."""

    _dims = (2, 3)


class SwitchNorm2d(SwitchNorm):
    """:class:`SwitchNorm` for inputs of shape (N, C, H, W)."""

    _dims = (4,)


class SwitchNorm3d(SwitchNorm):
    """:class:`SwitchNorm` for inputs of shape (N, C, D, H, W)."""

    _dims = (5,)


class SyncSwitchNorm1d(SyncSwitchNorm):
    """:class:`SyncSwitchNorm` for inputs of shape (N, C) or (N, C, L)."""

    _dims = (2, 3)


class SyncSwitchNorm2d(SyncSwitchNorm):
    """:class:`SyncSwitchNorm` for inputs of shape (N, C, H, W)."""

    _dims = (4,)


class SyncSwitchNorm3d(SyncSwitchNorm):
    """:class:`SyncSwitchNorm` for inputs of shape (N, C, D, H, W)."""

    _dims = (5,)


def switch_norm_layers(model: nn.Module) -> Iterator[tuple[str, SwitchNorm]]:
    """Name and layer of every switchable normalisation layer of a model, sparse ones included."""
    return ((name, m) for name, m in model.named_modules() if isinstance(m, SwitchNorm))


def harden(model: nn.Module) -> int:
    """Make the ratios of every layer one-hot at their largest entry; returns the layer count."""
    layers = [layer for _, layer in switch_norm_layers(model)]
    for layer in layers:
        layer.harden()
    return len(layers)


def release(model: nn.Module, confidence: float = 0.5) -> int:
    """Let the one-hot ratios of every layer learn again; returns how many layers had any.

    Args:
        model: Any module.
        confidence: Ratio that the chosen statistics start from; the others share the rest.
    """
    return sum([layer.release(confidence) for _, layer in switch_norm_layers(model)])
