"""The classifier of a face model: its classes are split over the ranks, and may be sampled."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from tasks.face.errors import ModelError
from tasks.face.losses import ShardedMarginSoftmax, all_gather

# Rows that are drawn at once at the start.
_DRAWN = 2**14


@MODELS.register_module()
class PartialFC(BaseModule):
    """Class centres and a softmax loss with a margin (An et al., arXiv 2010.05222, 2203.15565).

    Each of W ranks holds a W-th of the C classes, the first ranks one more where they do not divide
    evenly. It compares them with the embeddings of all ranks, E in all, of D numbers each. In units
    of 4 bytes, with a share of r = ``sample_rate`` of the classes in every step:

    - a rank stores C/W * D for the centres and as much for the momentum; in a step r * C/W * D for
      the gradient (with r < 1 as much again for the chosen centres), and r * C/W * E for the
      logits, in whose place softmax and gradient go;
    - it receives 2 (W - 1)/W * E * D, the embeddings and their gradients, and some 8 numbers an
      embedding. Class centres are never sent, except into checkpoints, which hold them all.

    With one process and ``sample_rate=1`` this is a plain softmax loss. The centres that training
    starts from are the same for every number of ranks. Every rank has to bring as many embeddings.

    Where ``sample_rate`` is below 1, the true classes of the batch take part in every step, and
    others drawn at random up to that share of the rank's classes. Gradients are then sparse, and
    the optimizer has to be ``RowSparseSGD``, which leaves the other centres as they are.

    Args:
        num_classes: C.
        in_channels: D.
        loss: Config of the margin, such as ``dict(type='ArcFace', scale=64.0, margin=0.5)``.
        sample_rate: Share of the classes that takes part in a step.
        clip_grad: Whether ``optim_wrapper.clip_grad`` is about the centres, too.
        std: Standard deviation of the centres at the start.
        init_cfg: Initial weights.

    Attributes:
        weight: Class centres of this rank, shape (own classes, D).
        first: Number of the first of them.

    Raises:
        ModelError: An argument is out of range.
    """

    #: There is nothing here that a model-wide `norm_cfg` could change.
    without_norms = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 512,
        loss: dict[str, Any] | None = None,
        sample_rate: float = 1.0,
        clip_grad: bool = True,
        std: float = 0.01,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        rank, world = get_dist_info()
        if num_classes < world:
            raise ModelError(
                f"model.head.num_classes is {num_classes}; {world} processes need as many classes "
                "at least"
            )
        if not 0 < sample_rate <= 1:
            raise ModelError(f"model.head.sample_rate is {sample_rate}; it must lie in (0, 1]")
        self.num_classes = num_classes
        self.sample_rate = sample_rate
        self.margin = MODELS.build(loss or dict(type="ArcFace"))
        share, left = divmod(num_classes, world)
        self.first = rank * share + min(rank, left)
        own = share + (rank < left)
        self.row_shards = {"weight": (self.first, num_classes)}
        self.row_sparse_gradients = sample_rate < 1
        self.clip_grad = clip_grad
        self.weight = nn.Parameter(torch.empty(own, in_channels))
        self._draw_centres(std)

    def loss(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss of the embeddings of all ranks.

        Args:
            embeddings: Of this rank, shape (N, D), of any norm and floating-point type.
            labels: Their class indices, int64 of shape (N,).

        Raises:
            ModelError: A label is no class; on a GPU it is an assertion that fails there.
        """
        if labels.device.type == "cpu" and len(labels):
            least, most = labels.min().item(), labels.max().item()
            if least < 0 or most >= self.num_classes:
                raise ModelError(
                    f"a batch has the label {least if least < 0 else most}; model.head.num_classes "
                    f"is {self.num_classes}, so that labels are 0 to {self.num_classes - 1}"
                )
        else:  # without waiting for the device
            torch._assert_async(((labels >= 0) & (labels < self.num_classes)).all())
        with torch.autocast(embeddings.device.type, enabled=False):
            normalised = F.normalize(embeddings.to(self.weight.dtype))
            labels = all_gather(labels)
            loss = ShardedMarginSoftmax.apply(
                normalised, self.weight, labels, self._sampled(labels), self.first, self.margin
            )
        return {"loss": loss}

    def extra_repr(self) -> str:
        """Which classes this rank has."""
        return (
            f"classes {self.first} to {self.first + len(self.weight) - 1} of {self.num_classes}, "
            f"in_channels={self.weight.shape[1]}, sample_rate={self.sample_rate}"
        )

    @torch.no_grad()
    def _draw_centres(self, std: float) -> None:
        """Draw the centres of all ranks, and keep the own ones."""
        last = self.first + len(self.weight)
        for start in range(0, self.num_classes, _DRAWN):
            count = min(_DRAWN, self.num_classes - start)
            rows = std * torch.randn(count, self.weight.shape[1])
            begin, end = max(start, self.first), min(start + count, last)
            if begin < end:
                self.weight[begin - self.first : end - self.first] = rows[
                    begin - start : end - start
                ]

    @torch.no_grad()
    def _sampled(self, labels: Tensor) -> Tensor | None:
        """Rows of the centres that take part in a step, sorted; None for all."""
        if self.sample_rate == 1 or not self.training:
            return None
        own = labels[(labels >= self.first) & (labels < self.first + len(self.weight))]
        present = (own - self.first).unique()
        count = max(len(present), round(self.sample_rate * len(self.weight)))
        draw = torch.rand(len(self.weight), device=labels.device)
        draw[present] = 2.0
        return draw.topk(count).indices.sort().values

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        whole = state_dict.get(f"{prefix}weight")
        if whole is not None and len(whole) == self.num_classes != len(self.weight):
            own = whole[self.first : self.first + len(self.weight)]
            state_dict = {**state_dict, f"{prefix}weight": own}
        super()._load_from_state_dict(state_dict, prefix, *args)
