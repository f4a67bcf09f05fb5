"""Optimizers for sampled classes."""

from .row_sparse_sgd import RowSparseSGD

__all__ = ["RowSparseSGD"]
