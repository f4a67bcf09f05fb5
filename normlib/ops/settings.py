"""What one call of the operator needs to know besides its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

NORMALIZERS = ("in", "ln", "bn")


@dataclass(frozen=True)
class Settings:
    """Non-tensor arguments of switchable normalisation.

    Attributes:
        normalizers: The statistics that are mixed, a subset of ``("in", "ln", "bn")`` in that
            order; entry ``k`` of a ratio vector belongs to ``normalizers[k]``.
        eps: Added to the mixed variance.
        unbiased: Use the instance variance with divisor ``S - 1`` (0 where ``S == 1``), as the
            layers released with the paper do, in place of the biased one.
        relu: Whether negative outputs become 0.
        group: Processes over which batch statistics are shared, or None for this process alone.
    """

    normalizers: tuple[str, ...] = NORMALIZERS
    eps: float = 1e-5
    unbiased: bool = False
    relu: bool = False
    group: ProcessGroup | None = None

    def index(self, normalizer: str) -> int | None:
        """Position of a normalizer in the ratio vectors, None where it takes no part."""
        return self.normalizers.index(normalizer) if normalizer in self.normalizers else None
