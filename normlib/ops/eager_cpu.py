"""The passes on a CPU, with ATen's normalisation kernels as vectorised sweeps over memory.

They are several times faster there than the reductions the formulas call for. Every pass works on a
view of ``x`` in the order of memory with the positions as dimension 1: (N * C, S) where the
positions of a channel lie together, (N, S, C) where the channels of a position do. It takes the
view block by block, so that the steps of a sweep, and the float32 copy of half-precision input,
meet in cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from normlib.ops.precision import STATISTICS, accumulation_dtype, rounded

# Elements of a block: few enough to stay in cache between the steps of a sweep, enough to hide the
# cost of a call.
_BLOCK = 1 << 20


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the positions of each sample and channel."""
    dtype = accumulation_dtype(x)
    rows, channels_last = _rows(x)
    if rows.numel() == 0:
        zeros = x.new_zeros(x.shape[:2], dtype=STATISTICS)
        return zeros, zeros.clone()
    moments = _channels_last_moments if channels_last else _moments
    # One buffer for all blocks: fresh memory would cost a page fault every few microseconds.
    work = torch.empty_like(rows[: _block_size(rows)], dtype=dtype)
    parts = [moments(block.to(dtype), work[: len(block)]) for (block,) in _blocks(rows)]
    means, variances = zip(*parts, strict=True)
    return torch.cat(means).view(x.shape[:2]), torch.cat(variances).view(x.shape[:2])


def apply(x: Tensor, centre: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale * (x - centre) + shift``."""
    rows, channels_last = _rows(x)
    y, y_rows = _like(x, channels_last)
    dtype = accumulation_dtype(x)
    vectors = (_along(v, channels_last) for v in _affine(centre, scale, shift, dtype))
    for block, out, *affine in _blocks(rows, y_rows, *vectors):
        wide = _workspace(out, dtype)
        _centred_affine(block, wide, *affine)
        _deliver(wide, out)
    return y


def backward_reduce(grad: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the positions of ``grad`` and of ``grad * (x - mean)``."""
    rows, channels_last = _rows(x)
    grads = _rows_like(grad, channels_last)
    if rows.numel() == 0:
        return torch.zeros_like(mean), torch.zeros_like(mean)
    sums = _channels_last_sums if channels_last else _row_sums
    dtype = accumulation_dtype(x)
    near, excess = rounded(mean, dtype)
    parts = [
        sums(block.to(dtype), block_grad.to(dtype), centre)
        for block, block_grad, centre in _blocks(
            rows, grads, near if channels_last else near.flatten()
        )
    ]
    totals, centreds = zip(*parts, strict=True)
    total = torch.cat(totals).view_as(mean).to(STATISTICS)
    return total, torch.cat(centreds).view_as(mean).to(STATISTICS) + excess * total


def backward_apply(
    grad: Tensor, x: Tensor, centre: Tensor, grad_scale: Tensor, x_scale: Tensor, shift: Tensor
) -> Tensor:
    """``grad_scale * grad + x_scale * (x - centre) + shift``."""
    rows, channels_last = _rows(x)
    grads = _rows_like(grad, channels_last)
    dx, dx_rows = _like(x, channels_last)
    dtype = accumulation_dtype(x)
    vectors = (
        _along(v, channels_last)
        for v in (*_affine(centre, x_scale, shift, dtype), grad_scale.to(dtype))
    )
    for block, block_grad, out, *affine, factor in _blocks(rows, grads, dx_rows, *vectors):
        wide = _workspace(out, dtype)
        _centred_affine(block, wide, *affine)
        _deliver(wide.addcmul_(block_grad.to(dtype), factor), out)
    return dx


def _rows(x: Tensor) -> tuple[Tensor, bool]:
    """``x`` as (N * C, S), or as (N, S, C) and True where that is its order in memory."""
    channels_last = x.dim() > 2 and not x.is_contiguous() and x.movedim(1, -1).is_contiguous()
    return _rows_like(x, channels_last), channels_last


def _rows_like(x: Tensor, channels_last: bool) -> Tensor:
    if channels_last:
        return x.movedim(1, -1).contiguous().flatten(1, -2)
    return x.contiguous().view(x.shape[0] * x.shape[1], x.shape[2:].numel())


def _like(x: Tensor, channels_last: bool) -> tuple[Tensor, Tensor]:
    """A new tensor in the order of memory of ``x``, and its rows."""
    format = torch.preserve_format if channels_last else torch.contiguous_format
    y = torch.empty_like(x, memory_format=format)
    return y, _rows_like(y, channels_last)


def _affine(
    centre: Tensor, scale: Tensor, shift: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Centre, scale and shift in the data type of a sweep, the shift making up for the centre."""
    near, excess = rounded(centre, dtype)
    return near, scale.to(dtype), (shift + scale * excess).to(dtype)


def _along(vector: Tensor, channels_last: bool) -> Tensor:
    """A tensor of shape (N, C) in a shape that broadcasts against the rows."""
    return vector.unsqueeze(1) if channels_last else vector.reshape(-1, 1)


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Matching slices of all tensors along dimension 0; none where the first has no elements."""
    if tensors[0].numel() == 0:
        return iter(())
    size = _block_size(tensors[0])
    return zip(*(t.split(size) for t in tensors), strict=True)


def _block_size(rows: Tensor) -> int:
    return max(1, _BLOCK // rows[0].numel())


def _workspace(out: Tensor, dtype: torch.dtype) -> Tensor:
    return out if out.dtype == dtype else torch.empty_like(out, dtype=dtype)


def _deliver(wide: Tensor, out: Tensor) -> None:
    if wide is not out:
        out.copy_(wide)


def _moments(block: Tensor, work: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over dimension 1, with the digits that float32 cuts off, and variance."""
    mean = block.mean(1, keepdim=True)
    centred = torch.sub(block, mean, out=work)
    cut_off = centred.mean(1)
    return mean.squeeze(1).to(STATISTICS) + cut_off, centred.square_().mean(1).to(STATISTICS)


def _channels_last_moments(block: Tensor, work: Tensor) -> tuple[Tensor, Tensor]:
    if block.shape[0] > 1:
        return _moments(block, work)
    mean, var = torch.batch_norm_update_stats(_image(block), None, None, 0.0)
    cut_off = torch.sub(block, mean, out=work).mean(1)
    return mean.to(STATISTICS) + cut_off, var.unsqueeze(0).to(STATISTICS)


def _row_sums(rows: Tensor, grad: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    return _channel_sums(grad.unsqueeze(0), rows.unsqueeze(0), mean)


def _channels_last_sums(block: Tensor, grad: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    if block.shape[0] == 1:
        total, centred = _channel_sums(_image(grad), _image(block), mean.flatten())
        return total.unsqueeze(0), centred.unsqueeze(0)
    return grad.sum(1), (block - mean.unsqueeze(1)).mul_(grad).sum(1)


def _channel_sums(grad: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of ``grad`` and ``grad * (x - mean)`` over all but dimension 1."""
    ones = torch.ones_like(mean)
    _, centred, total = torch.ops.aten.native_batch_norm_backward(
        grad, x, ones, None, None, mean, ones, True, 0.0, [False, True, True]
    )
    return total, centred


def _centred_affine(
    rows: Tensor, out: Tensor, centre: Tensor, scale: Tensor, shift: Tensor
) -> None:
    torch.sub(rows, centre, out=out)
    if rows.dim() == 3:
        torch.addcmul(shift, out, scale, out=out)
    else:
        # With two factors that are constant along a row, addcmul is not vectorised.
        out.mul_(scale).add_(shift)


def _image(block: Tensor) -> Tensor:
    """(1, S, C) as a (1, C, S, 1) image in channels_last order."""
    return block.transpose(1, 2).unsqueeze(3)
