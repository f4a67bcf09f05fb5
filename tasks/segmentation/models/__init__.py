"""Heads that mmseg lacks."""

from .pool_norm_heads import PoolNormASPPHead, PoolNormPSPHead

__all__ = ["PoolNormASPPHead", "PoolNormPSPHead"]
