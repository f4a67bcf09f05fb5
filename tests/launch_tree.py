"""A copy of tools/ with stand-ins for the programs that its launch scripts start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIABLES = "NNODES NODE_RANK MASTER_ADDR MASTER_PORT PORT MAX_RESTARTS RDZV RDZV_ENDPOINT RDZV_ID "
VARIABLES += "STOP_SECONDS OMP_NUM_THREADS GPUS GPUS_PER_NODE CPUS_PER_TASK SRUN_ARGS ENVIRONMENT "
VARIABLES += "CONTAINER_IMAGE CONTAINER_MOUNTS CONTAINER_WORKDIR SIGNAL_BEFORE MAX_REQUEUES"

# Writes its arguments, one on a line, and a few variables; runs real Python where asked for "-c".
RECORDER = f"""#!/bin/bash
if [[ $1 == -c ]]; then exec {sys.executable} "$@"; fi
printf '%s\\n' "$0" "$@" >> "$RECORD"
for name in ${{!TORCH_DISABLE_*}} MASTER_ADDR MASTER_PORT OMP_NUM_THREADS; do
    printf '%s=%s\\n' "$name" "${{!name:-}}" >> "$RECORD"
done
"""


def environ(**variables: str) -> dict[str, str]:
    """This process's environment without what the scripts look at, and with ``variables``."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if name not in VARIABLES.split() and not name.startswith(("SLURM_", "PET_"))
    }
    return kept | variables


class Tree:
    """A checkout in a folder whose name needs quoting, with stubs for what scripts start."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a tree"
        self.record = folder / "record"
        shutil.copytree(ROOT / "tools", self.root / "tools")
        self.config = self.root / "my config.py"
        self.config.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("python", "srun"):
            self.stub(name, RECORDER)
        self.stub("nvidia-smi", "#!/bin/sh\nexit 9\n")
        self.stub("nproc", "#!/bin/sh\necho 12\n")
        self.stub("scontrol", '#!/bin/bash\necho "$3" | tr , "\\n"\n')

    def stub(self, name: str, text: str, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def environ(self, **variables: str) -> dict[str, str]:
        path = f"{self.bin}:{os.environ['PATH']}"
        return environ(PATH=path, RECORD=str(self.record)) | variables

    def run(self, script: str, *args: object, **variables: str) -> list[str]:
        """What the stubs have recorded of a script; its end is in ``result``."""
        self.record.unlink(missing_ok=True)
        self.result = subprocess.run(
            [self.root / "tools" / script, *map(str, args)],
            cwd=self.root.parent,
            env=self.environ(**variables),
            capture_output=True,
            text=True,
        )
        return self.record.read_text().splitlines() if self.record.exists() else []


def value(started: list[str], option: str) -> str:
    """The value of --option=value."""
    (found,) = [line for line in started if line.startswith(f"--{option}=")]
    return found.partition("=")[2]
