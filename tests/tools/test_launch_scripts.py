"""dist_*.sh: what they start, and that it ends with them; and all scripts under shellcheck."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from normlib.openmmlab.safe_loading import load_file
from tests.launch_tree import RECORDER, ROOT, Tree, environ, value
from tests.processes import free_port, running, wait_until

TINY = ROOT / "tests" / "tiny" / "config.py"
SCRIPTS = [*sorted(ROOT.glob("tools/*.sh")), *sorted(ROOT.glob("tools/*.sbatch"))]


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


class TestDist:
    def test_train(self, tree):
        extra = ["--work-dir", "my runs/1", "--cfg-options", "norm_cfg.type=SN", 'a="[1, 2]"']
        started = tree.run("dist_train.sh", tree.config, 4, *extra)
        assert started[1] == str(tree.root / "tools" / "elastic_run.py")
        script = started.index(str(tree.root / "tools" / "train.py"))
        assert started[script + 1 : -3] == [str(tree.config), "--launcher", "pytorch", *extra]
        assert value(started, "nproc-per-node") == "4"
        assert value(started, "nnodes") == "1"
        assert value(started, "master-addr") == "127.0.0.1"
        assert value(started, "rdzv-backend") == "static"
        assert value(started, "max-restarts") == "0"

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
            with suppress(OSError):  # another program has it
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
            ("dist_run.sh", ["train.py", "2"], "usage: .*dist_run.sh SCRIPT GPUS CONFIG"),
        ],
    )
    def test_mistakes(self, script, arguments, message, tree):
        assert tree.run(script, *[a.format(config=tree.config) for a in arguments]) == []
        assert tree.result.returncode == 2
        assert re.search(message, tree.result.stderr)

    @pytest.mark.parametrize("named", [["--resume", "a.pth"], ["--resume=a.pth"]])
    def test_machines_that_come_and_leave_begin_at_no_named_checkpoint(self, named, tree):
        """They would begin there again with every one that joins."""
        variables = dict(NNODES="2:4", MASTER_ADDR="n1", RDZV="c10d", RDZV_ID="a")
        assert tree.run("dist_train.sh", tree.config, 2, *named, **variables) == []
        assert "NNODES=2:4 needs --resume without a path" in tree.result.stderr

    @pytest.mark.parametrize(
        "newest", [["--resume"], ["--resume", "auto"], ["--resume=auto"], ["--resume", "--amp"]]
    )
    def test_machines_that_come_and_leave_go_on_from_the_newest(self, newest, tree):
        variables = dict(NNODES="2:4", MASTER_ADDR="n1", RDZV="c10d", RDZV_ID="a")
        started = tree.run("dist_train.sh", tree.config, 2, *newest, **variables)
        assert " ".join(newest) in " ".join(started)

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ("NNODES=2", "NNODES=2 needs MASTER_ADDR"),
            ("NNODES=0", "NNODES is '0'"),
            ("NNODES=two", "NNODES is 'two'"),
            ("NNODES=4:2 RDZV=c10d", "the smaller one, 2:4"),
            ("NNODES=2:4 MASTER_ADDR=n1", "needs RDZV=c10d"),
            ("NNODES=2:4 MASTER_ADDR=n1 RDZV=c10d RDZV_ID=a", "needs --resume"),
            ("NNODES=2 MASTER_ADDR=n1 NODE_RANK=2", "NODE_RANK is 2 of 2 machines.* 0 to 1"),
            ("NODE_RANK=first", "NODE_RANK is 'first'"),
            ("PORT=http", "PORT is 'http'"),
            ("PORT=65536", "PORT is '65536'"),
            ("MAX_RESTARTS=-1", "MAX_RESTARTS is '-1'"),
            ("STOP_SECONDS=5m", "STOP_SECONDS is '5m'"),
            ("RDZV=etcd", "RDZV is 'etcd'"),
            ("RDZV=c10d RDZV_ENDPOINT=n1", "RDZV_ENDPOINT is 'n1'.*HOST:PORT"),
            ("RDZV_ENDPOINT=n1:29500", "is for RDZV=c10d"),
            ("RDZV_ID=a/b", "RDZV_ID is 'a/b'"),
            ("NNODES=2 MASTER_ADDR=n1 RDZV=c10d", "needs RDZV_ID"),
            ("NNODES=2 MASTER_ADDR=n1 MAX_RESTARTS=1", "needs RDZV_ID"),
            ("PET_NNODES=x", "NNODES is 'x'"),
        ],
    )
    def test_wrong_variables(self, variables, message, tree):
        given = dict(part.split("=") for part in variables.split())
        assert tree.run("dist_train.sh", tree.config, 2, **given) == []
        assert tree.result.returncode == 2
        assert re.search(message, tree.result.stderr)

    def test_processes_that_start_again_find_each_other(self, tree):
        """And not those that have ended, whose addresses a store of all starts would keep."""
        started = tree.run("dist_train.sh", tree.config, 2, MAX_RESTARTS="3")
        assert value(started, "rdzv-backend") == "c10d"
        assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in started
        assert tree.run("dist_train.sh", tree.config, 2, MAX_RESTARTS="3", RDZV="static") == []
        assert "MAX_RESTARTS needs RDZV=c10d" in tree.result.stderr

    def test_every_run_has_an_id_of_its_own(self, tree):
        ids = {value(tree.run("dist_train.sh", tree.config, 2), "rdzv-id") for _ in range(3)}
        assert len(ids) == 3
        named = tree.run("dist_train.sh", tree.config, 2, RDZV_ID="run-7")
        assert value(named, "rdzv-id") == "run-7"

    def test_machines_agree_on_an_id(self, tree):
        ids = set()
        for rank in "01":
            variables = dict(NNODES="2", NODE_RANK=rank, MASTER_ADDR="fd00::1")
            ids.add(value(tree.run("dist_train.sh", tree.config, 2, **variables), "rdzv-id"))
        assert ids == {"fd00--1-29500"}

    def test_machines_that_come_and_leave(self, tree):
        variables = dict(NNODES="2:4", RDZV="c10d", RDZV_ID="a", MAX_RESTARTS="3")
        arguments = ["dist_train.sh", tree.config, 8, "--resume"]
        started = tree.run(*arguments, **variables, RDZV_ENDPOINT="n1:1234")
        assert value(started, "nnodes") == "2:4"
        assert value(started, "rdzv-backend") == "c10d"
        assert value(started, "rdzv-endpoint") == "n1:1234"
        assert value(started, "max-restarts") == "3"
        assert not any(line.startswith(("--master", "--node-rank")) for line in started)
        started = tree.run(*arguments, **variables, MASTER_ADDR="n2", PORT="99")
        assert value(started, "rdzv-endpoint") == "n2:99"

    def test_what_torchrun_finds_in_the_environment_is_not_overruled(self, tree):
        """The variables that the training operator of Kubeflow sets."""
        operator = dict(
            PET_NNODES="2:2",
            PET_RDZV_BACKEND="c10d",
            PET_RDZV_ENDPOINT="job-worker-0:23456",
            PET_RDZV_ID="job",
            PET_MAX_RESTARTS="3",
        )
        started = tree.run("dist_train.sh", tree.config, 8, **operator)
        assert value(started, "nnodes") == "2:2"
        assert value(started, "rdzv-backend") == "c10d"
        assert value(started, "rdzv-endpoint") == "job-worker-0:23456"
        assert value(started, "rdzv-id") == "job"
        assert value(started, "max-restarts") == "3"
        assert value(tree.run("dist_train.sh", tree.config, 8, NNODES="1"), "nnodes") == "1"

    def test_a_master_with_workers_in_the_environment(self, tree):
        operator = dict(
            PET_NNODES="2",
            PET_NODE_RANK="1",
            MASTER_ADDR="job-master-0",
            MASTER_PORT="23456",
            PET_MASTER_PORT="23456",
        )
        started = tree.run("dist_train.sh", tree.config, 8, **operator)
        assert value(started, "node-rank") == "1"
        assert value(started, "master-addr") == "job-master-0"
        assert value(started, "master-port") == "23456"


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
    programs = ExitStack()

    def start(script, *args, **variables):
        program = running(
            [tmp_path / "tools" / script, *args],
            cwd=tmp_path,
            env=environ(PYTHONPATH=str(ROOT), **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return programs.enter_context(program)

    with programs:
        yield start


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
        log, _ = train.communicate(timeout=250)
        assert train.returncode == 0, log
        # Four images of the eight for each process, two in a batch.
        assert "[2][2/2]" in log
        assert "destroy_process_group" not in log
        weights = tmp_path / "run" / "epoch_2.pth"
        assert "backbone.norm.mean_weight" in load_file(weights)["state_dict"]

        out = ["--out", tmp_path / "results.json", "--work-dir", tmp_path / "test"]
        test = real("dist_test.sh", TINY, weights, 2, *out, *options)
        log, _ = test.communicate(timeout=250)
        assert test.returncode == 0, log
        assert (tmp_path / "results.bbox.json").read_text() == "8"

    def test_a_mistake_ends_every_process_and_is_the_last_word(self, real, tmp_path):
        train = real("dist_train.sh", TINY, 2, "--cfg-options", "norm_cfg.type=XX")
        log, _ = train.communicate(timeout=250)
        assert train.returncode == 2
        last = log.rstrip().splitlines()[-1]
        assert re.match(r"error \(rank [01]\): .*norm_cfg.type is 'XX'", last)
        assert "Traceback" not in log

    def test_a_signal_ends_the_children(self, real, tmp_path):
        work_dir = str(tmp_path / "endless")
        options = ["--cfg-options", "train_cfg.max_epochs=100000", "val_cfg=None"]
        options += ["val_dataloader=None", "val_evaluator=None"]
        train = real("dist_train.sh", TINY, 2, "--work-dir", work_dir, *options)
        for line in train.stdout:
            if "Epoch(train)" in line:
                break
        assert len(processes_naming(work_dir)) >= 3
        train.send_signal(signal.SIGINT)
        train.communicate(timeout=250)
        assert train.returncode == 130
        wait_until(lambda: processes_naming(work_dir) == [])


@pytest.mark.slow
@pytest.mark.parametrize("rdzv", ["static", "c10d"])
def test_two_machines(rdzv, real, tmp_path):
    """Two launchers of one process each, which meet over loopback and train together."""
    options = ["--work-dir", tmp_path / "run", "--cfg-options", "norm_cfg.type=SyncSN"]
    shared = dict(NNODES="2", MASTER_ADDR="127.0.0.1", PORT=str(free_port()), RDZV=rdzv)
    shared |= dict(RDZV_ID="two", PET_LOCAL_ADDR="127.0.0.1", OMP_NUM_THREADS="1")
    machines = [
        real("dist_train.sh", TINY, 1, *options, **shared, NODE_RANK=str(rank)) for rank in (0, 1)
    ]
    logs = [machine.communicate(timeout=250)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(logs)
    # Four images of the eight for each process, two in a batch; one of the two logs.
    assert sum("[2][2/2]" in log for log in logs) == 1
    assert "backbone.norm.mean_weight" in load_file(tmp_path / "run" / "epoch_2.pth")["state_dict"]
