"""``tools/train.py`` with :class:`tests.chaos.observed.ObservedRunner` at hand.

Started with ``--cfg-options runner_type=ObservedRunner`` and the environment variable
``CHAOS_CONTROL``, as a module or, by torchrun, as a file.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from tests.chaos.control import VARIABLE, Control
from tests.chaos.processes import die_with_parent

_TRAIN = Path(__file__).parents[2] / "tools/train.py"

if __name__ == "__main__":
    die_with_parent()
    Control(Path(os.environ[VARIABLE])).enlist(int(os.environ.get("RANK", 0)))
    import tests.chaos.observed  # noqa: F401  takes seconds, in which it could not be killed

    sys.argv[0] = str(_TRAIN)
    runpy.run_path(sys.argv[0], run_name="__main__")
