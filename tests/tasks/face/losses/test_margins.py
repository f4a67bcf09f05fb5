"""Margins, against hand-computed values and their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from tasks.face.errors import ModelError
from tasks.face.losses import ArcFace, CombinedMargin, CosFace


def cosines(*degrees: float) -> torch.Tensor:
    return torch.tensor(degrees, dtype=torch.float64).deg2rad().cos()


def test_arcface_adds_to_the_angle():
    margin = ArcFace(margin=math.radians(30))
    expected = torch.tensor([math.cos(math.radians(a)) for a in (30, 60, 90, 150, 179)])
    # Of an angle of 0 the sine is kept off 0, where its slope is infinite.
    torch.testing.assert_close(margin(cosines(0, 30, 60, 120, 149)), expected.double(),
                               atol=1e-5, rtol=0)  # fmt: skip


def test_beyond_pi_arcface_falls_back_on_a_cosine_margin():
    margin = ArcFace(margin=0.5)
    beyond = cosines(152, 165, 180)
    assert (beyond < -math.cos(0.5)).all()
    torch.testing.assert_close(margin(beyond), beyond - 0.5 * math.sin(0.5))


def test_the_target_never_rises_with_the_angle():
    for margin in (ArcFace(), CosFace(), CombinedMargin(angle_factor=1.35, angle=0.3, cosine=0.1)):
        target = margin(torch.linspace(0, math.pi, 2001, dtype=torch.float64).cos())
        # Up to where the fallback of ArcFace sets in, one step up is its own.
        steps = target.diff()
        assert (steps > 1e-9).sum() <= (1 if isinstance(margin, ArcFace) else 0)


def test_cosface_subtracts():
    torch.testing.assert_close(CosFace(margin=0.35)(cosines(0, 60)),
                               torch.tensor([0.65, 0.15]).double())  # fmt: skip


def test_combined_margin_has_all_three():
    margin = CombinedMargin(angle_factor=1.2, angle=0.3, cosine=0.05)
    expected = math.cos(1.2 * math.radians(40) + 0.3) - 0.05
    assert margin(cosines(40)).item() == pytest.approx(expected)


def test_a_multiplied_angle_goes_on_beyond_pi_as_in_sphereface():
    margin = CombinedMargin(angle_factor=3, angle=0)
    expected = [math.cos(math.radians(150)), -math.cos(math.radians(210)) - 2,
                math.cos(math.radians(450)) - 4]  # fmt: skip
    torch.testing.assert_close(margin(cosines(50, 70, 150)), torch.tensor(expected).double())


@pytest.mark.parametrize("margin", [ArcFace(), CosFace(), CombinedMargin(64, 1.35, 0.3, 0.1)])
def test_gradients_are_finite_where_angles_are_0_and_pi(margin):
    cosine = torch.tensor([1.0, -1.0, 1.0000001, 0.0], requires_grad=True)
    margin(cosine).sum().backward()
    assert cosine.grad.isfinite().all()


def test_gradients():
    cosine = cosines(20, 80, 140, 170).requires_grad_()
    for margin in (ArcFace(), CombinedMargin(64, 1.35, 0.3, 0.1)):
        assert torch.autograd.gradcheck(margin, cosine)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"scale": 0}, "scale is 0; it must be above 0"),
        ({"angle": 2.0}, r"angle is 2.0 radians; it must lie in \[0, pi/2\)"),
        ({"angle_factor": 0.5}, "angle_factor is 0.5; it must be 1 or more"),
        ({"cosine": -0.1}, "cosine is -0.1"),
    ],
)
def test_wrong_arguments(arguments, text):
    with pytest.raises(ModelError, match=text):
        CombinedMargin(**arguments)
