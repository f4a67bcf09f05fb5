"""slurm_*.sh: what they hand to srun and scontrol, and when they start again."""

from __future__ import annotations

import re
import signal
import subprocess
from contextlib import ExitStack

import pytest

from tests.launch_tree import RECORDER, ROOT, Tree, value
from tests.processes import running, wait_until

# Ends with the codes in the file CODES, one each time, and 0 after them.
ENDING = """
echo "${NORMLIB_RUN_ID:-none} ${NORMLIB_RESTARTS:-none}" >> "$RECORD.runs"
code=$(head -n 1 "$CODES")
sed -i 1d "$CODES"
exit "${code:-0}"
"""
REQUEUE = """#!/bin/bash
if [[ $1 == requeue ]]; then echo "$@" >> "$RECORD.scontrol"; exit "${REQUEUE_CODE:-0}"; fi
echo "$3" | tr , "\\n"
"""


class SlurmTree(Tree):
    """Whose srun ends as told, and whose scontrol requeues."""

    def __init__(self, folder):
        super().__init__(folder)
        self.codes = folder / "codes"
        self.codes.touch()
        self.requeued = self.record.with_name("record.scontrol")
        self.runs = self.record.with_name("record.runs")
        self.stub("srun", RECORDER + ENDING)
        self.stub("scontrol", REQUEUE)

    def environ(self, **variables):
        return super().environ(CODES=str(self.codes)) | variables

    def train(self, *args, codes="", **variables):
        """The arguments of each srun."""
        self.runs.unlink(missing_ok=True)
        self.codes.write_text("".join(f"{code}\n" for code in codes.split()))
        lines = self.run("slurm_train.sh", "gpu", "job", self.config, "runs/1", *args, **variables)
        starts = [at for at, line in enumerate(lines) if line == str(self.bin / "srun")]
        ends = [*starts[1:], len(lines)]
        return [lines[start + 1 : end - 3] for start, end in zip(starts, ends, strict=False)]

    def names(self):
        """What each srun is told of its run: a name, and how often it was started before."""
        return [tuple(line.split()) for line in self.runs.read_text().splitlines()]


@pytest.fixture
def tree(tmp_path):
    return SlurmTree(tmp_path)


class TestSlurm:
    def test_train(self, tree):
        started = tree.run("slurm_train.sh", "gpu", "my job", tree.config, "runs/1", "--resume")
        assert started[0] == str(tree.bin / "srun")
        assert value(started, "partition") == "gpu"
        assert value(started, "job-name") == "my job"
        assert value(started, "gres") == "gpu:8"
        assert value(started, "ntasks") == value(started, "ntasks-per-node") == "8"
        assert value(started, "cpus-per-task") == "5"
        # The process that writes a checkpoint may end after the others.
        assert value(started, "kill-on-bad-exit") == "0"
        assert value(started, "wait") == "60"
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
        assert tree.result.returncode == 2
        assert "which nodes 'n1' are" in tree.result.stderr

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            (dict(GPUS="x"), "GPUS is 'x'"),
            (dict(GPUS_PER_NODE="0"), "GPUS_PER_NODE is '0'"),
            (dict(CPUS_PER_TASK="-1"), "CPUS_PER_TASK is '-1'"),
            (dict(SIGNAL_BEFORE="5m"), "SIGNAL_BEFORE is '5m'.*seconds"),
            (dict(MAX_REQUEUES="many"), "MAX_REQUEUES is 'many'"),
            (dict(CONTAINER_MOUNTS="/a:/b"), "need CONTAINER_IMAGE"),
        ],
    )
    def test_wrong_variables(self, variables, message, tree):
        assert tree.train(**variables) == []
        assert tree.result.returncode == 2
        assert re.search(message, tree.result.stderr)

    def test_mistakes(self, tree):
        assert tree.run("slurm_train.sh", "gpu", "job", tree.config) == []
        assert "usage" in tree.result.stderr
        assert tree.run("slurm_test.sh", "gpu", "job", "absent.py", "w.pth") == []
        assert "absent.py does not exist" in tree.result.stderr
        assert tree.result.returncode == 2


class TestContainers:
    IMAGE = "/images/a.sqsh"

    def test_image(self, tree):
        tree.stub("python", RECORDER, tree.root / ".venv" / "bin")
        (started,) = tree.train(CONTAINER_IMAGE=self.IMAGE)
        assert value(started, "container-image") == self.IMAGE
        # The checkout and the working directory, where relative paths of the command line lead.
        root, here = str(tree.root), str(tree.root.parent)
        assert value(started, "container-mounts") == f"{root}:{root},{here}:{here}"
        assert value(started, "container-workdir") == here
        script = started.index(str(tree.root / "tools" / "train.py"))
        assert started[script - 4 : script] == ["env", f"PYTHONPATH={root}", "python", "-u"]

    def test_more_mounts_and_another_folder(self, tree):
        mounts = "/datasets:/datasets:ro,/runs:/runs"
        (started,) = tree.train(
            CONTAINER_IMAGE=self.IMAGE, CONTAINER_MOUNTS=mounts, CONTAINER_WORKDIR="/runs"
        )
        assert value(started, "container-mounts").endswith(f",{mounts}")
        assert value(started, "container-workdir") == "/runs"

    def test_without_an_image_there_are_no_such_options(self, tree):
        (started,) = tree.train()
        assert not any("container" in line for line in started)


class TestRequeue:
    BATCH = dict(SLURM_JOB_ID="42", ENVIRONMENT="BATCH")

    def test_signal_before_the_time_limit(self, tree):
        (started,) = tree.train(SIGNAL_BEFORE="300")
        assert value(started, "signal") == "USR1@300"
        assert not any(line.startswith("--signal") for line in tree.train()[0])

    @pytest.mark.parametrize("given", [[], ["--resume"], ["--resume", "epoch_1.pth"]])
    def test_outside_an_allocation_srun_is_started_again_for_the_same_run(self, given, tree):
        """Which lets it go on from what it has saved, whatever its arguments."""
        first, *others = tree.train(*given, codes="75 75 0", SIGNAL_BEFORE="300")
        assert others == [first, first]
        assert tree.result.returncode == 0
        names, restarts = zip(*tree.names(), strict=True)
        assert restarts == ("0", "1", "2")
        assert len(set(names)) == 1

    def test_another_run_has_another_name(self, tree):
        names = set()
        for _ in range(3):
            tree.train()
            names |= set(tree.names())
        assert len(names) == 3

    def test_at_most_so_often(self, tree):
        assert len(tree.train(codes="75 75 75 75", MAX_REQUEUES="2")) == 3
        assert tree.result.returncode == 75
        assert "not done after 2 requeues" in tree.result.stderr

    def test_only_where_it_is_asked_for(self, tree):
        assert len(tree.train(codes="75")) == 1
        assert tree.result.returncode == 75

    @pytest.mark.parametrize("code", [1, 2, 130, 137])
    def test_only_after_75(self, code, tree):
        assert len(tree.train(codes=f"{code} 0", MAX_REQUEUES="5")) == 1
        assert tree.result.returncode == code

    def test_a_batch_job_is_requeued(self, tree):
        assert len(tree.train(codes="75", MAX_REQUEUES="5", **self.BATCH)) == 1
        assert tree.result.returncode == 75
        assert tree.requeued.read_text() == "requeue 42\n"
        # Slurm's own number is its name, and stays.
        assert tree.names() == [("none", "none")]

    def test_a_batch_job_that_was_requeued_is_so_again(self, tree):
        tree.train(codes="75", MAX_REQUEUES="2", SLURM_RESTART_COUNT="1", **self.BATCH)
        assert tree.requeued.read_text() == "requeue 42\n"

    def test_a_batch_job_is_requeued_at_most_so_often(self, tree):
        tree.train(codes="75", MAX_REQUEUES="2", SLURM_RESTART_COUNT="2", **self.BATCH)
        assert tree.result.returncode == 75
        assert not tree.requeued.exists()

    def test_a_job_that_cannot_be_requeued(self, tree):
        tree.train(codes="75", MAX_REQUEUES="5", REQUEUE_CODE="1", **self.BATCH)
        assert tree.result.returncode == 75
        assert "job 42 cannot be requeued" in tree.result.stderr

    def test_an_allocation_of_salloc_ends(self, tree):
        assert len(tree.train(codes="75", MAX_REQUEUES="5", SLURM_JOB_ID="42")) == 1
        assert tree.result.returncode == 75
        assert not tree.requeued.exists()

    def test_an_evaluation_is_not_requeued(self, tree):
        tree.codes.write_text("75\n")
        tree.run("slurm_test.sh", "gpu", "job", tree.config, "w.pth", MAX_REQUEUES="5")
        assert tree.result.returncode == 75


class TestSignals:
    """An srun that, as the real one with training processes, ends with 75 when it is told to."""

    @pytest.fixture
    def start(self, tree):
        tree.stub(
            "srun",
            "#!/bin/bash\n"
            + "".join(
                f"trap 'echo {name} >> \"$RECORD\"; exit {code}' {name}\n"
                for name, code in {"TERM": 75, "USR1": 75, "INT": 130, "HUP": 75}.items()
            )
            + 'echo ready >> "$RECORD"\nfor ((i = 0; i < 6000; i++)); do sleep 0.05; done\n',
        )

        def start(**variables):
            command = [tree.root / "tools" / "slurm_train.sh", "gpu", "job", tree.config, "runs/1"]
            script = programs.enter_context(running(command, env=tree.environ(**variables)))
            self.wait_for(tree, ["ready"])
            return script

        with ExitStack() as programs:
            yield start

    def wait_for(self, tree, lines):
        wait_until(lambda: tree.record.exists() and tree.record.read_text().split() == lines)

    @pytest.mark.parametrize(("name", "code"), [("TERM", 75), ("HUP", 75), ("INT", 130)])
    def test_reach_srun_and_end_the_script(self, name, code, tree, start):
        script = start(MAX_REQUEUES="5")
        script.send_signal(signal.Signals[f"SIG{name}"])
        assert script.wait(timeout=60) == code
        assert tree.record.read_text().split() == ["ready", name]

    def test_usr1_goes_on(self, tree, start):
        script = start(MAX_REQUEUES="5")
        script.send_signal(signal.SIGUSR1)
        self.wait_for(tree, ["ready", "USR1", "ready"])
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=60) == 75


class TestBatchFile:
    TEXT = (ROOT / "tools" / "slurm_train.sbatch").read_text()

    def test_runs(self, tree):
        """Submitted from the checkout, with what is in capitals filled in."""
        (tree.root / "configs").mkdir()
        (tree.root / "configs" / "CONFIG.py").touch()
        batch = dict(SLURM_JOB_ID="7", ENVIRONMENT="BATCH", SLURM_JOB_PARTITION="p")
        variables = tree.environ(**batch, SLURM_JOB_NAME="n", SLURM_JOB_NODELIST="n1,n2")
        tree.codes.write_text("75\n")
        subprocess.run(["bash", "tools/slurm_train.sbatch"], cwd=tree.root, env=variables)
        started = tree.record.read_text().splitlines()
        assert "MASTER_ADDR=n1" in started
        assert started[-5:-3] == ["--resume", "auto"]
        assert tree.requeued.read_text() == "requeue 7\n"
        for option in ("ntasks-per-node", "gres", "cpus-per-task"):
            assert f"#SBATCH --{option}={value(started, option)}\n" in self.TEXT
        nodes = int(re.search(r"--nodes=(\d+)", self.TEXT)[1])
        assert int(value(started, "ntasks")) == nodes * int(value(started, "ntasks-per-node"))

    def test_is_told_in_time_and_requeued(self):
        for line in ("--requeue", "--open-mode=append", "--signal=USR1@600"):
            assert f"#SBATCH {line}\n" in self.TEXT
