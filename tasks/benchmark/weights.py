"""What a run that is done gives to those that start from it."""

from __future__ import annotations

from pathlib import Path

# Beside the checkpoints of a run: the last of them under a name that is known before.
WEIGHTS = "weights.pth"


def name_weights(work_dir: Path) -> None:
    """Give the last checkpoint of a run a name that does not depend on the number of epochs."""
    pointer = work_dir / "last_checkpoint"
    if not pointer.is_file():
        return
    scratch = work_dir / f".{WEIGHTS}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(Path(pointer.read_text().strip()).name)
    scratch.replace(work_dir / WEIGHTS)
