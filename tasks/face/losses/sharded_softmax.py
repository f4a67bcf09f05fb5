"""Softmax loss over classes that are spread over the ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# As torch.nn.functional.normalize has it.
_LEAST_NORM = 1e-12


class ShardedMarginSoftmax(torch.autograd.Function):
    """Mean cross entropy of scaled cosines, each rank with the classes that it holds.

    The formula is that of :func:`tasks.face.losses.reference.margin_softmax_loss`; with one process
    and all classes, so is the result. The one large buffer is that of the logits, all embeddings by
    own classes; softmax and gradient take its place. Class centres are never copied: their norms
    divide the logits.

    Of E embeddings of D numbers on all of W ranks, a rank receives
    (W - 1)/W * E * D for the forward pass and as much for the backward one, besides 4 numbers an
    embedding.
    """

    @staticmethod
    def forward(
        ctx: Any,
        embeddings: Tensor,
        centres: Tensor,
        labels: Tensor,
        classes: Tensor | None,
        first: int,
        margin: nn.Module,
    ) -> Tensor:
        """The loss of the embeddings of all ranks, the same on every rank.

        Args:
            embeddings: Normalised, of this rank, shape (N, D); N is the same on all ranks.
            centres: Class centres of this rank, of any norm, shape (own classes, D).
            labels: Class indices of the embeddings of all ranks, int64 of shape (W * N,), in the
                order of ranks, see :func:`all_gather`.
            classes: The rows of ``centres`` that take part, sorted, int64 of shape (K,); None for
                all. The true classes have to be among them.
            first: Number of the class in row 0.
            margin: Gives the cosines of true classes with their margin; has a ``scale``.
        """
        world = _world_size()
        embeddings = all_gather(embeddings)
        rows = centres if classes is None else centres[classes]
        inverse = torch.linalg.vector_norm(rows, dim=1).clamp_(min=_LEAST_NORM).reciprocal_()
        with _without_autocast(embeddings):
            logits = (embeddings @ rows.T).mul_(inverse)

        # Samples whose class is here, and its column.
        samples = ((labels >= first) & (labels < first + len(centres))).nonzero()[:, 0]
        columns = labels[samples] - first
        if classes is not None:
            columns = torch.searchsorted(classes, columns)
        with torch.enable_grad():
            cosines = logits[samples, columns].detach().requires_grad_()
            targets = margin(cosines)
            (slopes,) = torch.autograd.grad(targets.sum(), cosines)
        logits[samples, columns] = targets.detach()
        logits *= margin.scale

        top = logits.amax(1) if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
        _all_reduce(top, world, dist.ReduceOp.MAX)
        logits -= top[:, None]
        # By sample: the sum of exponentials, and the true class's logit.
        sums = logits.new_zeros(2, len(logits))
        sums[1, samples] = logits[samples, columns]
        sums[0] = logits.exp_().sum(1)
        _all_reduce(sums, world, dist.ReduceOp.SUM)
        probabilities = logits.div_(sums[0, :, None])

        ctx.save_for_backward(embeddings, centres, classes, inverse, samples, columns, slopes)
        ctx.probabilities, ctx.scale, ctx.world = probabilities, margin.scale, world
        return (sums[0].log() - sums[1]).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the own embeddings and centres.

        That of the embeddings is multiplied by the number of ranks, since data parallelism then
        takes the mean of what every rank's embeddings give. That of chosen centres is sparse.
        """
        embeddings, centres, classes, inverse, samples, columns, slopes = ctx.saved_tensors
        logits, ctx.probabilities = ctx.probabilities, None
        logits[samples, columns] = (logits[samples, columns] - 1) * slopes
        logits *= gradient * (ctx.scale / len(embeddings))
        logits *= inverse
        rows = centres if classes is None else centres[classes]
        with _without_autocast(embeddings):
            of_rows = logits.T @ embeddings
            along = torch.einsum("kd,kd->k", of_rows, rows).mul_(inverse).mul_(inverse)
            of_rows.addcmul_(rows, along[:, None], value=-1)
            of_embeddings = _reduce_scatter(logits @ rows, ctx.world).mul_(ctx.world)
        if classes is not None:
            with torch.sparse.check_sparse_tensor_invariants(False):
                of_rows = torch.sparse_coo_tensor(
                    classes[None], of_rows, centres.shape, is_coalesced=True
                )
        return of_embeddings, of_rows, None, None, None, None


def all_gather(own: Tensor) -> Tensor:
    """The rows of all ranks, in the order of ranks; every rank has as many."""
    world = _world_size()
    if world == 1:
        return own
    gathered = own.new_empty((world * len(own), *own.shape[1:]))
    dist.all_gather_into_tensor(gathered, own.contiguous())
    return gathered


def _without_autocast(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _reduce_scatter(values: Tensor, world: int) -> Tensor:
    if world == 1:
        return values
    own = values.new_empty((len(values) // world, *values.shape[1:]))
    dist.reduce_scatter_tensor(own, values)
    return own


def _all_reduce(values: Tensor, world: int, op: dist.ReduceOp.RedOpType) -> None:
    if world > 1:
        dist.all_reduce(values, op)
