from __future__ import annotations

import pytest

from tasks.toy_data.street.perspective import Perspective

VIEW = Perspective(centre=100, horizon=40, focal=140)


def test_eye_level_is_at_the_horizon_at_any_distance() -> None:
    assert VIEW.point(3, 1.4, 10) == pytest.approx((130, 40))
    assert VIEW.point(3, 1.4, 20) == pytest.approx((160, 40))
    assert VIEW.point(0, 0, 10) == pytest.approx((100, 54))


def test_scale_falls_with_the_distance() -> None:
    # 140 / 10 = 14 metres away; then 28.
    assert VIEW.behind(10, 14) == pytest.approx(5)
    assert VIEW.behind(VIEW.behind(10, 5), 9) == pytest.approx(5)


def test_rectangles() -> None:
    assert VIEW.upright((-1, 2), (0, 2.4), 10).bounds == pytest.approx((90, 30, 120, 54))
    assert VIEW.ground((-2, 2), (10, 5)).bounds == pytest.approx((80, 47, 120, 54))
    assert VIEW.along(2, (0, 1.4), (10, 5)).bounds == pytest.approx((110, 40, 120, 54))


def test_block_encloses_its_sides() -> None:
    across, up, scales = (1, 3), (0.2, 3), (10, 4)
    block = VIEW.block(across, up, scales)
    for side in (VIEW.upright(across, up, 10), VIEW.upright(across, up, 4),
                 VIEW.along(1, up, scales), VIEW.along(3, up, scales)):  # fmt: skip
        assert side.difference(block).area < 1e-9
