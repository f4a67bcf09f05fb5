"""Margins that make the true class harder to reach, as functions of its cosine."""

from __future__ import annotations

import math

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from tasks.face.errors import ModelError

# Keeps the slope of the sine finite where the angle is 0.
_LEAST_SINE = 1e-6


@MODELS.register_module()
class CombinedMargin(nn.Module):
    r"""The margins of SphereFace, ArcFace and CosFace together.

    Deng et al., "ArcFace" (arXiv 1801.07698), equation 4: the cosine of the true class becomes
    :math:`\cos(m_1 \theta + m_2) - m_3`, and all cosines are multiplied by the scale.

    Where :math:`m_1 \theta + m_2` exceeds :math:`\pi` the cosine would rise again. For
    :math:`m_1 = 1` it then is :math:`\cos\theta - m_2 \sin m_2 - m_3`, as in the authors' code; for
    another :math:`m_1` it goes on as :math:`(-1)^k \cos(\cdot) - 2k`, as in SphereFace (arXiv
    1704.08063).

    Args:
        scale: s, the radius of the sphere that the logits lie on.
        angle_factor: m1, 1 or more.
        angle: m2, in radians.
        cosine: m3.

    Raises:
        ModelError: An argument is out of range.
    """

    def __init__(
        self,
        scale: float = 64.0,
        angle_factor: float = 1.0,
        angle: float = 0.5,
        cosine: float = 0.0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if not scale > 0:
            raise ModelError(f"{name}: scale is {scale}; it must be above 0, such as 64")
        if not angle_factor >= 1:
            raise ModelError(f"{name}: angle_factor is {angle_factor}; it must be 1 or more")
        if not 0 <= angle < math.pi / 2:
            raise ModelError(f"{name}: angle is {angle} radians; it must lie in [0, pi/2)")
        if not 0 <= cosine < 2:
            raise ModelError(f"{name}: cosine is {cosine}; it must lie in [0, 2)")
        self.scale = scale
        self.angle_factor = angle_factor
        self.angle = angle
        self.cosine = cosine

    def forward(self, cosine: Tensor) -> Tensor:
        """What takes the place of cosines of true classes, any shape, before the scale."""
        if self.angle_factor == 1 and self.angle == 0:
            return cosine - self.cosine
        if self.angle_factor == 1:
            sine = (1 - cosine * cosine).clamp(min=_LEAST_SINE**2).sqrt()
            shifted = cosine * math.cos(self.angle) - sine * math.sin(self.angle)
            beyond = cosine - self.angle * math.sin(self.angle)
            shifted = torch.where(cosine > -math.cos(self.angle), shifted, beyond)
        else:
            limit = 1 - _LEAST_SINE
            angle = self.angle_factor * cosine.clamp(-limit, limit).acos() + self.angle
            turns = (angle.detach() / math.pi).floor()
            shifted = (1 - 2 * (turns % 2)) * angle.cos() - 2 * turns
        return shifted - self.cosine

    def extra_repr(self) -> str:
        """The margins."""
        return (
            f"scale={self.scale}, angle_factor={self.angle_factor}, angle={self.angle}, "
            f"cosine={self.cosine}"
        )


@MODELS.register_module()
class ArcFace(CombinedMargin):
    """Additive angular margin (arXiv 1801.07698).

    Args:
        scale: s.
        margin: m, in radians.
    """

    def __init__(self, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(scale, angle=margin)


@MODELS.register_module()
class CosFace(CombinedMargin):
    """Additive cosine margin (Wang et al., arXiv 1801.09414).

    Args:
        scale: s.
        margin: m; the paper's best is 0.35.
    """

    def __init__(self, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(scale, angle=0.0, cosine=margin)
