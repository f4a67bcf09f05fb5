"""A training that trains nothing, and of which one can ask for a mistake.

python -m tests.chaos.fake_victim WORK_DIR STATES MISTAKE [--resume]

It takes the checkpoint of each iteration, ``N.pth``, from the folder STATES.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import zipfile
from pathlib import Path
from types import FrameType

from tests.chaos.control import VARIABLE, Control
from tests.chaos.processes import die_with_parent

ITERATIONS = 8
INTERVAL = 2
SECONDS = 0.04


class FakeTraining:
    """It.

    Args:
        work_dir: For checkpoints.
        states: Where they come from.
        mistake: ``none``, or what goes wrong: ``lose`` (a checkpoint, once it is named), ``forget``
            (to resume), ``diverge`` (once resumed), ``code`` (of the exit after SIGTERM) or
            ``silence`` (about damaged checkpoints).
    """

    def __init__(self, work_dir: Path, states: Path, mistake: str) -> None:
        self._work_dir, self._states, self._mistake = work_dir, states, mistake
        self._control = Control(Path(os.environ[VARIABLE]))
        self._asked = False
        work_dir.mkdir(parents=True, exist_ok=True)

    def run(self, resume: bool) -> int:
        """Train, and return the exit code."""
        done = self._newest() if resume and self._mistake != "forget" else 0
        signal.signal(signal.SIGTERM, self._ask)
        self._control.tell("start", done)
        while done < ITERATIONS:
            self._control.tell("iter", done)
            time.sleep(SECONDS)
            done += 1
            self._control.tell("done", done)
            if done % INTERVAL == 0:
                wrong = self._mistake == "diverge" and resume and done == ITERATIONS
                self._save(f"iter_{done}.pth", "other" if wrong else str(done))
            if self._asked:
                self._save(f"interrupted_iter_{done}.pth", str(done))
                print("all is saved: go on with --resume", file=sys.stderr)
                return 1 if self._mistake == "code" else 75
        self._control.tell("end", done)
        return 0

    def _save(self, name: str, state: str) -> None:
        folder = self._work_dir / f".{name}.scratch"
        folder.mkdir(exist_ok=True)
        shutil.copy(self._states / f"{state}.pth", folder / name)
        time.sleep(SECONDS)
        (folder / name).replace(self._work_dir / name)
        (folder / "last_checkpoint").write_text(str(self._work_dir / name))
        (folder / "last_checkpoint").replace(self._work_dir / "last_checkpoint")
        if self._mistake == "lose":
            (self._work_dir / name).unlink()
        shutil.rmtree(folder)

    def _newest(self) -> int:
        good = []
        for path in self._work_dir.glob("*.pth"):
            try:
                damaged = zipfile.ZipFile(path).testzip()
            except zipfile.BadZipFile:
                damaged = "all"
            if damaged is None:
                good.append(int(path.stem.rpartition("_")[2]))
            elif self._mistake != "silence":
                print(f"{path} is damaged", flush=True)
        return max(good, default=0)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True


if __name__ == "__main__":
    die_with_parent()
    training = FakeTraining(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    sys.exit(training.run("--resume" in sys.argv))
