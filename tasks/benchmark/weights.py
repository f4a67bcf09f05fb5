"""What a run that is done gives to those that start from it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from .run import Run

# Beside the checkpoints of a run: the last of them under a name that is known before.
WEIGHTS = "weights.pth"


def name_weights(work_dir: Path) -> None:
    """Give the last checkpoint of a run a name that does not depend on the number of epochs.

    Several processes may do so at once.
    """
    pointer, place = work_dir / "last_checkpoint", work_dir / WEIGHTS
    if not pointer.is_file():
        return
    name = Path(pointer.read_text().strip()).name
    if place.is_symlink() and os.readlink(place) == name:
        return
    with tempfile.TemporaryDirectory(dir=work_dir, prefix=f".{WEIGHTS}.") as folder:
        scratch = Path(folder, WEIGHTS)
        scratch.symlink_to(name)
        scratch.replace(place)


def start_weights(run: Run) -> dict[str, str]:
    """Digests of the tensors that a run starts from, by the option that names their file.

    Only files of runs that it needs are looked at. They are not read: `torch.save` keeps a checksum
    of every tensor in the directory of its file. A training that is repeated to the bit has the
    same digest, whatever its dates. What is missing, or of another format, is left out.
    """
    folders = [need.work_dir for need in run.needs]
    found = {}
    for key, value in run.options.items():
        path = Path(str(value))
        if any(path.is_relative_to(folder) for folder in folders):
            try:
                status = os.stat(path)
                found[key] = _digest(path, status.st_size, status.st_mtime_ns)
            except (OSError, zipfile.BadZipFile):
                continue
    return found


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    """Of a file, as long as it has this size and this time of change."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            # The rest of a checkpoint holds its dates.
            _, _, name = record.filename.partition("/")
            if name.startswith("data/"):
                digest.update(f"{name} {record.file_size} {record.CRC:08x}\n".encode())
    return digest.hexdigest()
