"""Who may write to a work directory, with real processes."""

from __future__ import annotations

import errno
import fcntl
import logging
import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from normlib.openmmlab import commands, work_dir_lock
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.work_dir_lock import locked

TINY = Path(__file__).parents[2] / "tiny" / "config.py"
LOGGER = logging.getLogger("test_work_dir_lock")
FORK = multiprocessing.get_context("fork")


def hold(folder, held, release):
    with locked(str(folder), LOGGER):
        held.set()
        release.wait(600)


def fork_and_wait(folder, forked):
    """Hold a lock, and have a child that outlives this process; both are one group."""
    os.setpgid(0, 0)
    with locked(str(folder), LOGGER):
        child = FORK.Process(target=time.sleep, args=(600,))
        child.start()
        forked.put(child.pid)
        time.sleep(600)


def refusal(rank, folder):
    """Why the lock cannot be had at once; None where it can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_dir_lock, "PATIENCE", 0.0)
        try:
            with locked(str(folder), LOGGER):
                return None
        except ConfigError as error:
            return str(error)


@pytest.fixture
def holder(tmp_path):
    """A function that starts a process which holds the lock, until an event if one is given."""
    started = []

    def start(release=None):
        held = FORK.Event()
        arguments = (tmp_path, held, release or FORK.Event())
        started.append(FORK.Process(target=hold, args=arguments))
        started[-1].start()
        assert held.wait(120)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(work_dir_lock, "PATIENCE", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_second_training_is_refused(holder, tmp_path):
    process = holder()
    with pytest.raises(ConfigError) as caught:
        commands.train(TINY, work_dir=str(tmp_path))
    assert str(caught.value) == (
        f"another training ({socket.gethostname()}, pid {process.pid}) writes to {tmp_path}: end "
        "it, or give another --work-dir"
    )
    assert not list(tmp_path.glob("*.pth"))


def test_every_rank_is_refused(tmp_path, rank_pool):
    with locked(str(tmp_path), LOGGER):
        texts = rank_pool(2).run(refusal, tmp_path)
    assert texts[0] == texts[1]
    assert f"pid {os.getpid()}" in texts[0]


@pytest.mark.usefixtures("impatient")
def test_one_process_trains_again(tmp_path):
    commands.train(TINY, work_dir=str(tmp_path))
    commands.train(TINY, work_dir=str(tmp_path), options={"train_cfg.max_epochs": 3}, resume="auto")
    assert (tmp_path / "epoch_3.pth").exists()


@pytest.mark.usefixtures("impatient")
def test_a_killed_training_holds_nothing(holder, tmp_path):
    process = holder()
    process.kill()
    process.join()
    with locked(str(tmp_path), LOGGER):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_worker_that_outlives_its_training_holds_nothing(tmp_path):
    forked = FORK.Queue()
    process = FORK.Process(target=fork_and_wait, args=(tmp_path, forked))
    process.start()
    try:
        worker = forked.get(timeout=120)
        process.kill()
        process.join()
        os.kill(worker, 0)  # it lives
        with locked(str(tmp_path), LOGGER):
            pass
    finally:
        process.kill()
        process.join()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_the_end_of_another_training_is_waited_for(holder, tmp_path, caplog, monkeypatch):
    release = FORK.Event()
    other = holder(release)

    def pause(seconds):
        release.set()
        other.join()

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    monkeypatch.setattr(work_dir_lock, "time", clock)
    with caplog.at_level(logging.INFO), locked(str(tmp_path), LOGGER):
        pass
    assert caplog.text.count("waiting up to 30 s for its end") == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, caplog, number):
    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", fail)
    entered = False
    with locked(str(tmp_path), LOGGER):
        entered = True
    assert entered
    assert caplog.text.count(f".lock cannot be locked ({os.strerror(number)})") == 1


def test_a_link_is_not_written_through(tmp_path, caplog):
    other = tmp_path / "other"
    other.write_text("other")
    (tmp_path / work_dir_lock.FILE_NAME).symlink_to(other)
    with locked(str(tmp_path), LOGGER):
        pass
    assert other.read_text() == "other"
    assert "cannot be locked" in caplog.text


def test_an_error_gives_the_folder_free(tmp_path, rank_pool):
    with pytest.raises(RuntimeError), locked(str(tmp_path), LOGGER):
        raise RuntimeError
    assert rank_pool(2).run(refusal, tmp_path) == [None, None]
