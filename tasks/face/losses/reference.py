"""The loss of margins, written plainly: what the sharded one is tested and timed against."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def margin_softmax_loss(
    embeddings: Tensor, centres: Tensor, labels: Tensor, margin: nn.Module
) -> Tensor:
    """Mean cross entropy of scaled cosines with a margin for the true class.

    Args:
        embeddings: Shape (N, D), of any norm.
        centres: Class centres, shape (classes, D), of any norm.
        labels: Class indices, int64 of shape (N,).
        margin: Such as :class:`tasks.face.losses.margins.ArcFace`.

    Returns:
        Shape ().
    """
    cosines = F.linear(F.normalize(embeddings), F.normalize(centres))
    own = labels[:, None]
    logits = margin.scale * cosines.scatter(1, own, margin(cosines.gather(1, own)))
    return F.cross_entropy(logits, labels)
