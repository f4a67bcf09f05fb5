"""dist_*.sh and slurm_*.sh: what they start, and that it ends with them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from normlib.openmmlab.safe_loading import load_file

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny" / "config.py"
SCRIPTS = sorted(ROOT.glob("tools/dist_*.sh")) + sorted(ROOT.glob("tools/slurm_*.sh"))
VARIABLES = "NNODES NODE_RANK MASTER_ADDR PORT OMP_NUM_THREADS GPUS GPUS_PER_NODE CPUS_PER_TASK"
VARIABLES = [*VARIABLES.split(), "SRUN_ARGS", "SLURM_JOB_NODELIST", "MASTER_PORT"]

# Writes its arguments, one on a line, and a few variables; runs real Python where asked for "-c".
RECORDER = f"""#!/bin/bash
if [[ $1 == -c ]]; then exec {sys.executable} "$@"; fi
printf '%s\\n' "$0" "$@" > "$RECORD"
for name in MASTER_ADDR MASTER_PORT OMP_NUM_THREADS; do
    printf '%s=%s\\n' "$name" "${{!name:-}}" >> "$RECORD"
done
"""


class Tree:
    """A checkout in a folder whose name needs quoting, with stubs for what scripts start."""

    def __init__(self, folder):
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

    def stub(self, name, text, folder=None):
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, script, *args, **variables):
        environ = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        environ |= {"PATH": f"{self.bin}:{environ['PATH']}", "RECORD": str(self.record)}
        self.result = subprocess.run(
            [self.root / "tools" / script, *map(str, args)],
            env=environ | variables,
            capture_output=True,
            text=True,
        )
        return self.record.read_text().splitlines() if self.record.exists() else []


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def value(started, option):
    """The value of --option=value."""
    (found,) = [line for line in started if line.startswith(f"--{option}=")]
    return found.partition("=")[2]


class TestDist:
    def test_train(self, tree):
        extra = ["--work-dir", "my runs/1", "--cfg-options", "norm_cfg.type=SN", 'a="[1, 2]"']
        started = tree.run("dist_train.sh", tree.config, 4, *extra)
        assert started[1:3] == ["-m", "torch.distributed.run"]
        script = started.index(str(tree.root / "tools" / "train.py"))
        assert started[script + 1 : -3] == [str(tree.config), "--launcher", "pytorch", *extra]
        assert value(started, "nproc-per-node") == "4"
        assert value(started, "nnodes") == "1"
        assert value(started, "master-addr") == "127.0.0.1"

    def test_test(self, tree):
        started = tree.run("dist_test.sh", tree.config, "my weights.pth", 2, "--out", "r.json")
        script = started.index(str(tree.root / "tools" / "test.py"))
        arguments = started[script + 1 : -3]
        assert arguments == [
            str(tree.config),
            "--launcher",
            "pytorch",
            "my weights.pth",
            "--out",
            "r.json",
        ]
        assert value(started, "nproc-per-node") == "2"

    def test_nodes(self, tree):
        variables = dict(NNODES="3", NODE_RANK="2", MASTER_ADDR="10.0.0.1")
        started = tree.run("dist_train.sh", tree.config, 8, **variables)
        assert value(started, "nnodes") == "3"
        assert value(started, "node-rank") == "2"
        assert value(started, "master-addr") == "10.0.0.1"
        assert value(started, "master-port") == "29500"
        started = tree.run("dist_train.sh", tree.config, 8, **variables, PORT="1234")
        assert value(started, "master-port") == "1234"

    def test_one_node_finds_a_free_port(self, tree):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("", 29500))
            taken.listen()
            port = int(value(tree.run("dist_train.sh", tree.config, 2), "master-port"))
            assert port != 29500
            with socket.socket() as free:
                free.bind(("", port))

    @pytest.mark.parametrize(
        ("gpus", "variables", "has_gpus", "threads"),
        [
            (4, {}, False, "3"),
            (100, {}, False, "1"),
            (4, {}, True, "1"),
            (4, {"OMP_NUM_THREADS": "7"}, False, "7"),
        ],
    )
    def test_threads(self, gpus, variables, has_gpus, threads, tree):
        if has_gpus:
            tree.stub("nvidia-smi", "#!/bin/sh\necho GPU 0\n")
        started = tree.run("dist_train.sh", tree.config, gpus, **variables)
        assert f"OMP_NUM_THREADS={threads}" in started

    def test_the_python_of_the_tree_goes_before_that_of_the_path(self, tree):
        assert tree.run("dist_train.sh", tree.config, 1)[0] == str(tree.bin / "python")
        tree.stub("python", RECORDER, tree.root / ".venv" / "bin")
        own = Path(tree.run("dist_train.sh", tree.config, 1)[0])
        assert own.resolve() == tree.root / ".venv" / "bin" / "python"

    @pytest.mark.parametrize(
        ("script", "arguments", "message"),
        [
            ("dist_train.sh", ["{config}"], "usage: .*dist_train.sh CONFIG GPUS"),
            ("dist_test.sh", ["{config}", "1"], "usage: .*dist_test.sh CONFIG CHECKPOINT GPUS"),
            ("dist_train.sh", ["{config}", "two"], "GPUS is 'two'"),
            ("dist_train.sh", ["{config}", "0"], "GPUS is '0'"),
            ("dist_train.sh", ["absent.py", "2"], "absent.py does not exist"),
        ],
    )
    def test_mistakes(self, script, arguments, message, tree):
        assert tree.run(script, *[a.format(config=tree.config) for a in arguments]) == []
        assert tree.result.returncode == 2
        assert re.search(message, tree.result.stderr)

    def test_several_nodes_need_an_address(self, tree):
        assert tree.run("dist_train.sh", tree.config, 2, NNODES="2") == []
        assert "MASTER_ADDR" in tree.result.stderr


class TestSlurm:
    def test_train(self, tree):
        started = tree.run("slurm_train.sh", "gpu", "my job", tree.config, "runs/1", "--resume")
        assert started[0] == str(tree.bin / "srun")
        assert value(started, "partition") == "gpu"
        assert value(started, "job-name") == "my job"
        assert value(started, "gres") == "gpu:8"
        assert value(started, "ntasks") == value(started, "ntasks-per-node") == "8"
        assert value(started, "cpus-per-task") == "5"
        assert value(started, "kill-on-bad-exit") == "1"
        script = started.index(str(tree.root / "tools" / "train.py"))
        assert started[script - 2 : script] == ["python", "-u"]
        arguments = [str(tree.config), "--launcher", "slurm", "--work-dir", "runs/1", "--resume"]
        assert started[script + 1 : -3] == arguments

    def test_test(self, tree):
        started = tree.run("slurm_test.sh", "gpu", "job", tree.config, "w.pth", GPUS="2")
        script = started.index(str(tree.root / "tools" / "test.py"))
        assert started[script + 1 : -3] == [str(tree.config), "--launcher", "slurm", "w.pth"]
        assert value(started, "gres") == "gpu:2"

    def test_sizes_and_options(self, tree):
        variables = dict(GPUS="16", GPUS_PER_NODE="4", CPUS_PER_TASK="9")
        srun = "--container-image=a.sqsh --qos=high"
        arguments = ("slurm_train.sh", "gpu", "job", tree.config, "runs/1")
        tree.stub("python", RECORDER, tree.root / ".venv" / "bin")
        started = tree.run(*arguments, **variables, SRUN_ARGS=srun)
        assert value(started, "ntasks") == "16"
        assert value(started, "ntasks-per-node") == "4"
        assert value(started, "gres") == "gpu:4"
        assert value(started, "cpus-per-task") == "9"
        # A container has its own Python; without one it is the tree's.
        at = started.index("--container-image=a.sqsh")
        assert started[at + 1 : at + 4] == ["--qos=high", "python", "-u"]
        assert str(tree.root / "tools" / ".." / ".venv" / "bin" / "python") in tree.run(*arguments)

    def test_the_first_node_is_looked_up_before_srun(self, tree):
        arguments = ("slurm_train.sh", "gpu", "job", tree.config, "runs/1")
        assert "MASTER_ADDR=n1" in tree.run(*arguments, SLURM_JOB_NODELIST="n1,n2")
        given = tree.run(*arguments, SLURM_JOB_NODELIST="n1,n2", MASTER_ADDR="other", PORT="99")
        assert "MASTER_ADDR=other" in given
        assert "MASTER_PORT=99" in given
        assert "MASTER_ADDR=" in tree.run(*arguments)

    def test_without_scontrol_nothing_starts(self, tree):
        tree.stub("scontrol", "#!/bin/sh\necho no scontrol >&2\nexit 127\n")
        arguments = ("slurm_train.sh", "gpu", "job", tree.config, "runs/1")
        assert tree.run(*arguments, SLURM_JOB_NODELIST="n1") == []
        assert tree.result.returncode != 0

    def test_mistakes(self, tree):
        assert tree.run("slurm_train.sh", "gpu", "job", tree.config) == []
        assert "usage" in tree.result.stderr
        assert tree.run("slurm_test.sh", "gpu", "job", "absent.py", "w.pth") == []
        assert "absent.py does not exist" in tree.result.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck():
    result = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.fixture
def real(tmp_path):
    """tools/ with this interpreter, for scripts that really train."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")

    def start(script, *args):
        environ = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        return subprocess.Popen(
            [tmp_path / "tools" / script, *map(str, args)],
            cwd=tmp_path,
            env=environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def processes_naming(text):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
class TestTwoProcesses:
    def test_train_and_test(self, real, tmp_path):
        options = ["--cfg-options", "norm_cfg.type=SyncSN"]
        train = real("dist_train.sh", TINY, 2, "--work-dir", tmp_path / "run", *options)
        log, _ = train.communicate()
        assert train.returncode == 0, log
        # Four images of the eight for each process, two in a batch.
        assert "[2][2/2]" in log
        assert "destroy_process_group" not in log
        weights = tmp_path / "run" / "epoch_2.pth"
        assert "backbone.norm.mean_weight" in load_file(weights)["state_dict"]

        out = ["--out", tmp_path / "results.json", "--work-dir", tmp_path / "test"]
        test = real("dist_test.sh", TINY, weights, 2, *out, *options)
        log, _ = test.communicate()
        assert test.returncode == 0, log
        assert (tmp_path / "results.bbox.json").read_text() == "8"

    def test_a_mistake_ends_every_process_and_is_the_last_word(self, real, tmp_path):
        train = real("dist_train.sh", TINY, 2, "--cfg-options", "norm_cfg.type=XX")
        log, _ = train.communicate()
        assert train.returncode != 0
        assert "\nerror: " in f"\n{log}"
        assert "norm_cfg.type is 'XX'" in log.partition("Root Cause")[2]

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_children(self, sent, real, tmp_path):
        work_dir = str(tmp_path / "endless")
        options = ["--cfg-options", "train_cfg.max_epochs=100000", "val_cfg=None"]
        options += ["val_dataloader=None", "val_evaluator=None"]
        train = real("dist_train.sh", TINY, 2, "--work-dir", work_dir, *options)
        for line in train.stdout:
            if "Epoch(train)" in line:
                break
        assert len(processes_naming(work_dir)) >= 3
        train.send_signal(sent)
        train.communicate(timeout=60)
        assert train.returncode != 0
        deadline = time.monotonic() + 10
        while processes_naming(work_dir) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_naming(work_dir) == []
