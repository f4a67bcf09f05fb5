"""Trainings of tasks with norms as one plan: what is to run, what has been, and running it."""

from __future__ import annotations

from .expansion import expand
from .plan import Plan, PlanError
from .plan_reader import read_plan
from .record import State, state_of
from .run import Run

__all__ = ["Plan", "PlanError", "Run", "State", "expand", "read_plan", "state_of"]
