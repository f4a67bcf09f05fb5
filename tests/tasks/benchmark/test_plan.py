"""Where plans are looked for."""

from __future__ import annotations

import pytest

from tasks.benchmark.plan import PLANS, PlanError, find_plan


def test_plans_are_found_by_path_and_by_name(tmp_path):
    assert find_plan("demo") == PLANS / "demo.yaml"
    path = tmp_path / "mine.yaml"
    path.touch()
    assert find_plan(str(path)) == path
    with pytest.raises(PlanError, match=r"no such file .*plans here: demo, paper, smoke"):
        find_plan("no")
