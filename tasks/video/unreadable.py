"""How a data set tells metrics of test videos that could not be read."""

from __future__ import annotations

UNREADABLE = -1  # the label of the video that stands in for one
