"""elastic_run.py: the end of a run as an exit code and a last line."""

from __future__ import annotations

import re
import signal
import sys
from contextlib import ExitStack

import pytest

from tests.launch_tree import ROOT, environ
from tests.processes import free_port, running, wait_until

# A process of two. The second ends with the code given, by the signal of a negative one; or both
# end when they are told to, by the signals given.
WORKER = """
import json, os, signal, sys, time

def leave(code, text):
    inner = {"message": text, "errorCode": code, "extraInfo": {"timestamp": int(time.time())}}
    with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as file:
        json.dump({"message": inner}, file)
    os._exit(code)

how, rank = sys.argv[1], os.environ["RANK"]
if how == "when told":
    def told(signum, _):
        time.sleep(0.5 + int(rank))
        leave(75, f"saved after {signal.Signals(signum).name}")

    for name in sys.argv[2:] if rank == "1" else ["SIGTERM", "SIGUSR1"]:
        signal.signal(getattr(signal, name), told)
elif rank == "1":
    if int(how) < 0:
        os.kill(os.getpid(), -int(how))
    if how == "1":
        raise RuntimeError("a bug")
    leave(int(how), f"the message of {how}")
with open(os.environ["READY"] + rank, "w"):
    pass
time.sleep(600)
"""


class Run:
    """Two of the processes above under elastic_run.py, which end with a stack of programs."""

    def __init__(self, programs, folder, *how, wait=(), **variables):
        folder.mkdir()
        (folder / "worker.py").write_text(WORKER)
        (folder / "tmp").mkdir()
        self.files = folder / "tmp"
        options = ["--nproc-per-node=2", f"--master-port={free_port()}", "--rdzv-id=a"]
        variables |= dict(TMPDIR=str(self.files), READY=f"{folder}/ready", OMP_NUM_THREADS="1")
        command = [sys.executable, ROOT / "tools/elastic_run.py", *options, folder / "worker.py"]
        self.messages = folder / "messages"
        with self.messages.open("w") as file:
            program = running([*command, *how], env=environ(**variables), stderr=file)
            self.process = programs.enter_context(program)
        self.ready = [folder / f"ready{rank}" for rank in wait]

    def started(self):
        """Itself, once the processes that are waited for are at work."""
        wait_until(lambda: all(path.exists() for path in self.ready) or self.ended)
        assert not self.ended, self.log
        return self

    @property
    def ended(self):
        return self.process.poll() is not None

    @property
    def log(self):
        return self.messages.read_text()

    def end(self):
        """The exit code and the last line."""
        return self.process.wait(timeout=250), self.log.rstrip().splitlines()[-1]


@pytest.fixture(scope="module")
def programs():
    """Programs that end with the tests of this file."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def failed(programs, tmp_path_factory):
    """Runs that have ended, by what ended them, with their exit code and last line."""
    folder = tmp_path_factory.mktemp("failed")
    runs = {how: Run(programs, folder / how, how) for how in ("2", "75", "1", "-9")}
    return {how: (run, *run.end()) for how, run in runs.items()}


@pytest.fixture(scope="module")
def waiting(programs, tmp_path_factory):
    """Runs at work, by the signal that their second process saves after; the first knows all."""
    folder = tmp_path_factory.mktemp("waiting")
    knows = {"SIGTERM": "SIGTERM", "SIGUSR1": "SIGUSR1", "another": "SIGUSR1"}
    runs = {
        name: Run(programs, folder / name, "when told", knows[name], wait="01") for name in knows
    }
    return {name: run.started() for name, run in runs.items()}


@pytest.mark.slow
class TestAProcessFails:
    @pytest.mark.parametrize(
        ("how", "code", "last"),
        [
            ("2", 2, r"error \(rank 1\): the message of 2"),
            ("75", 75, r"stopped \(rank 1\): the message of 75"),
            ("1", 1, r"error \(rank 1\): exit code 1, see above"),
            ("-9", 137, r"error \(rank 1\): ended by signal 9 \(SIGKILL\)"),
        ],
    )
    def test_the_exit_code_and_the_last_word(self, how, code, last, failed):
        run, found, line = failed[how]
        assert found == code, run.log
        assert re.match(last, line)

    def test_torchs_report_is_for_crashes(self, failed):
        assert "Root Cause" in failed["1"][0].log
        assert "RuntimeError: a bug" in failed["1"][0].log
        assert "Root Cause" not in failed["2"][0].log
        assert not any("in run_agent" in run.log for run, *_ in failed.values())

    def test_nothing_is_left_behind(self, failed):
        assert [list(run.files.iterdir()) for run, *_ in failed.values()] == [[]] * 4


@pytest.mark.slow
class TestTheLauncherIsToldToEnd:
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
    def test_75_when_every_process_has_saved(self, name, waiting):
        run = waiting[name]
        run.process.send_signal(getattr(signal, name))
        # What `timeout` and some schedulers do: the same request comes twice.
        wait_until(lambda: "to write a checkpoint" in run.log)
        run.process.send_signal(getattr(signal, name))
        assert run.end() == (75, f"stopped: saved after {name}"), run.log
        assert list(run.files.iterdir()) == []

    def test_the_signal_when_one_has_not(self, waiting):
        run = waiting["another"]
        run.process.send_signal(signal.SIGTERM)
        code, last = run.end()
        assert code == 128 + signal.SIGTERM, run.log
        assert re.match("error: ended by SIGTERM; 1 of 2 processes have saved", last)


@pytest.mark.slow
def test_machines_that_do_not_meet(programs, tmp_path):
    conf = dict(PET_RDZV_CONF="timeout=1", PET_NNODES="2")
    code, last = Run(programs, tmp_path / "run", "1", **conf).end()
    assert code == 1
    assert re.match(r"error: the 2 machines did not meet at 127.0.0.1:\d+: ", last)


@pytest.mark.slow
def test_a_wrong_number_of_seconds(programs, tmp_path):
    code, last = Run(programs, tmp_path / "run", "1", STOP_SECONDS="soon").end()
    assert code == 2
    assert last == "error: STOP_SECONDS is 'soon': give a number of seconds"
