"""The runner of all trainings, which tells the harness where it is and reads NaN when told to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS

from normlib.openmmlab.runner import CheckedRunner
from tests.chaos.control import VARIABLE, Control


@RUNNERS.register_module()
class ObservedRunner(CheckedRunner):
    """Tells of its moments."""

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Tell of a moment before or after the hooks that it concerns."""
        if fn_name == "before_train_iter":
            _tell("iter", self.iter)
            if is_main_process() and _control().poisoned:
                batch = kwargs["data_batch"]
                batch["inputs"] = _nan(batch["inputs"])
        elif fn_name == "after_train_iter":
            _tell("done", self.iter + 1)
        super().call_hook(fn_name, **kwargs)
        if fn_name == "before_train":
            _tell("start", self.iter)
        elif fn_name == "after_train":
            _tell("end", self.iter)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Tell when a checkpoint is begun and written."""
        _tell("saving", self.iter)
        super().save_checkpoint(*args, **kwargs)
        _tell("saved", self.iter)


def _control() -> Control:
    return Control(Path(os.environ[VARIABLE]))


def _tell(kind: str, number: int) -> None:
    if is_main_process():
        _control().tell(kind, number)


def _nan(inputs: Any) -> Any:
    if isinstance(inputs, torch.Tensor):
        return torch.full_like(inputs, torch.nan, dtype=torch.float32)
    return [_nan(one) for one in inputs]
