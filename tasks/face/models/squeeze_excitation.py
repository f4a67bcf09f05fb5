"""Squeeze-and-excitation."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Factors for the channels of a map, from their means (Hu et al., arXiv 1709.01507).

    Args:
        channels: Channels of the map.
        reduction: By how much fewer the channels are in between, with a PReLU.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, max(channels // reduction, 1), 1, bias=False)
        self.prelu = nn.PReLU()
        self.fc2 = nn.Conv2d(max(channels // reduction, 1), channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The map with its channels multiplied by factors in (0, 1)."""
        return x * self.fc2(self.prelu(self.fc1(self.pool(x)))).sigmoid()
