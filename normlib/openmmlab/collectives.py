"""What a process was waiting for when the others gave no answer in time."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MessageHub

# What gloo says; NCCL's watchdog ends the process by itself, and names the collective.
_TIMED_OUT = re.compile(
    r"Timed out waiting (\d+)ms for (?:send|recv) operation|Application timeout caused pair closure"
)
# Places of torch where collectives are waited for that no function of its own names.
_INSIDE = (
    ("torch/autograd/graph.py", "all_reduce of the gradients in the backward pass"),
    ("torch/nn/parallel/distributed.py", "a broadcast of DistributedDataParallel"),
)


def timed_out(error: BaseException) -> str | None:
    """Say which collective got no answer, and from where it was called.

    Args:
        error: Any error.

    Returns:
        One line; None if the error is about something else.
    """
    found = _TIMED_OUT.search(str(error))
    if found is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    iteration = MessageHub.get_current_instance().runtime_info.get("iter")
    at = f" in iteration {iteration + 1}" if isinstance(iteration, int) else ""
    # Another collective, such as a vote in the background, may have waited out its time before.
    within = f"within {int(found[1]) / 1000:g} s" if found[1] else "in time"
    return (
        f"no answer to {_collective(frames)} {within}{at}: rank "
        f"{get_rank()} of {get_world_size()} waited, called at {_caller(frames)}, and another "
        "process hangs, or works at something else for that long. The time that a collective gets "
        "is env_cfg.dist_cfg.timeout, in seconds"
    )


def _collective(frames: traceback.StackSummary) -> str:
    for frame in frames:
        if frame.filename.endswith("torch/distributed/distributed_c10d.py"):
            return frame.name
    for place, name in _INSIDE:
        if any(frame.filename.endswith(place) for frame in frames):
            return name
    return f"the collective that {frames[-1].name}() waits for"


def _caller(frames: traceback.StackSummary) -> str:
    """The last place outside torch."""
    outside = [f for f in frames if "/torch/" not in f.filename] or list(frames)
    # Which of mmengine's wrappers was used says less than who called it.
    own = [f for f in outside if "/mmengine/dist/" not in f.filename] or outside
    return f"{'/'.join(Path(own[-1].filename).parts[-3:])}:{own[-1].lineno}"
