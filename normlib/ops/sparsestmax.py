"""SparsestMax (Shao et al., arXiv 1903.03793) as its formulas, and as a compiled operator.

In a model its vectors have three entries, and what PyTorch needs for some fifty operators on them
is several times what the rest of a layer on a small map takes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.ops import operators
from normlib.ops.first_order import first_order
from normlib.ops.precision import accumulation_dtype

# Of a vector, see kMostRatios in csrc/sparsestmax.h.
_MOST_RATIOS = 8


def reference(logits: Tensor, radius: float | Tensor) -> Tensor:
    """As :func:`normlib.functional.sparsestmax`, with every derivative."""
    if isinstance(radius, Tensor):
        radius = radius.to(logits.dtype)  # before it is squared
    logits = logits - logits.detach().amax(-1, keepdim=True)
    with torch.no_grad():
        face, final_radius = _final_face(logits, radius)
    size = face.sum(-1, keepdim=True)
    offset = face * (logits - (face * logits).sum(-1, keepdim=True) / size)
    pushed = final_radius > 0
    distance = offset.square().sum(-1, keepdim=True).where(pushed, 1).sqrt()
    scale = (final_radius / distance).where(pushed, 1)
    return (face / size + scale * offset).clamp(min=0)


def _final_face(logits: Tensor, radius: float | Tensor) -> tuple[Tensor, Tensor]:
    """Face of the simplex on which SparsestMax ends, and the radius it is pushed to there.

    Every face on the way spans the largest n logits for some n. With m the size of the sparsemax's
    support, the squared radius left on a face of size n is r^2 - 1/n + 1/m, and the procedure ends
    on the largest face on which the point at that radius has no negative entry.

    Args:
        logits: Shape (*, K), with 0 as the largest entry.
        radius: The radius at the start.

    Returns:
        The face as a mask of 0 and 1 of shape (*, K), and the radius of shape (*, 1), 0 where the
        sparsemax stays as it is.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    n = torch.arange(1, logits.shape[-1] + 1, device=logits.device, dtype=logits.dtype)
    # Sums over the n largest; unlike cumsum, they have a deterministic CUDA kernel.
    prefix = (n <= n.unsqueeze(-1)).to(logits.dtype)
    total = (ordered.unsqueeze(-2) * prefix).sum(-1)
    gap = total - n * ordered
    spread = (ordered.square().unsqueeze(-2) * prefix).sum(-1) - total.square() / n
    # At least 1 also where a logit is NaN: the result is then NaN, not an index out of range.
    support = (gap < 1).to(logits.dtype).sum(-1, keepdim=True).clamp(min=1)
    squared_radius = radius * radius - 1 / n + 1 / support
    own_spread = spread.gather(-1, support.long() - 1)
    pushed = (own_spread > 0) & (own_spread < radius * radius)
    fits = (squared_radius * gap.square() <= spread) & (n <= support)
    largest = (fits * n).amax(-1, keepdim=True).clamp(min=1).where(pushed, support)
    face = torch.zeros_like(logits).scatter(-1, order, (n <= largest).to(logits.dtype))
    final = squared_radius.gather(-1, largest.long() - 1).clamp(min=0).sqrt()
    off_centre = spread.gather(-1, largest.long() - 1) > 0
    return face, final * (pushed & off_centre)


def fits_native(logits: Tensor, radius: float | Tensor) -> bool:
    """Whether the compiled operator takes vectors of this size, and this radius."""
    one = not isinstance(radius, Tensor) or radius.dim() == 0
    return one and logits.dim() > 0 and 1 <= logits.shape[-1] <= _MOST_RATIOS


def native(logits: Tensor, radius: float | Tensor) -> Tensor:
    """As :func:`reference` in one kernel; first derivatives only."""
    dtype = accumulation_dtype(logits)
    if not isinstance(radius, Tensor):
        radius = torch.full((), radius, dtype=torch.float64, device=logits.device)
    elif radius.device != logits.device or radius.dtype not in (torch.float32, torch.float64):
        radius = radius.to(logits.device, dtype)
    rows = logits.reshape(-1, logits.shape[-1]).to(dtype).contiguous()
    # What the dispatcher would come to through two more layers of Python.
    call = _operator if torch.compiler.is_compiling() else _with_derivative
    ratios, _ = call(rows, radius.detach())
    return ratios.view(logits.shape).to(logits.dtype)


class _SparsestMax(torch.autograd.Function):
    """Derivative of ``normlib::sparsestmax`` by the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, radius: Tensor, outputs: list[Tensor]) -> Tensor:
        with torch._C._AutoDispatchBelowAutograd():
            ratios, jacobian = _operator(logits, radius)
        # The backward reads no logits; first_order sees by them what it depends on.
        ctx.save_for_backward(jacobian, logits)
        outputs.append(jacobian)
        result: Tensor = ratios
        return result

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        jacobian, _ = ctx.saved_tensors
        return (grad.unsqueeze(-1) * jacobian).sum(-2), None, None


_operator = torch.ops.normlib.sparsestmax.default


def _with_derivative(logits: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    if torch.is_grad_enabled() and logits.requires_grad:
        rest: list[Tensor] = []
        return _SparsestMax.apply(logits, radius, rest), *rest
    with torch._C._AutoDispatchBelowAutograd():
        outputs: tuple[Tensor, Tensor] = _operator(logits, radius)
    return outputs


operators.library.impl("sparsestmax", _with_derivative, "Autograd")
