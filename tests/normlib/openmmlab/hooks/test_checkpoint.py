"""SafeCheckpointHook: what a kill at any moment would leave."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from mmengine.hooks import CheckpointHook

from normlib.openmmlab.launch import build_runner, load_config
from normlib.openmmlab.safe_loading import load_file

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
RUNS = itertools.count()


def train(folder, epochs=4, keep=1, **checkpoint):
    options = {
        "work_dir": str(folder),
        "experiment_name": f"checkpoint{next(RUNS)}",
        "train_cfg.max_epochs": epochs,
        "param_scheduler": None,
        "resume": "auto",
    }
    cfg = load_config(TINY, options)
    hook = dict(type="CheckpointHook", interval=1, max_keep_ckpts=keep, **checkpoint)
    cfg.default_hooks.checkpoint = hook
    runner = build_runner(cfg)
    runner.train()
    return runner


def names(folder):
    return {path.name for path in folder.glob("*.pth")}


@pytest.fixture
def moments(monkeypatch):
    """What can be gone on from, each time that a file is put in place or removed."""
    seen = []

    def look(folder):
        pointer = folder / "last_checkpoint"
        if pointer.exists():
            target = Path(pointer.read_text())
            load_file(target)
            seen.append((target.name, names(folder)))

    rename, unlink = Path.replace, Path.unlink

    def watched_rename(self, target):
        rename(self, target)
        look(Path(target).parent)

    def watched_unlink(self, missing_ok=False):
        unlink(self, missing_ok=missing_ok)
        if self.suffix == ".pth":
            look(self.parent)

    monkeypatch.setattr(Path, "replace", watched_rename)
    monkeypatch.setattr(Path, "unlink", watched_unlink)
    return seen


def test_takes_the_place_of_mmengines_hook(tmp_path):
    runner = train(tmp_path, epochs=1)
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    assert type(hook).__name__ == "SafeCheckpointHook"
    assert hook.max_keep_ckpts == 1


def test_at_every_moment_the_named_checkpoint_is_there_and_whole(moments, tmp_path):
    train(tmp_path)
    named = [name for name, _ in moments]
    assert list(dict.fromkeys(named)) == [f"epoch_{number}.pth" for number in (1, 2, 3, 4)]
    # The next one is written before the one before it goes.
    assert ("epoch_1.pth", {"epoch_1.pth", "epoch_2.pth"}) in moments
    assert ("epoch_2.pth", {"epoch_1.pth", "epoch_2.pth"}) in moments
    assert names(tmp_path) == {"epoch_4.pth"}


def test_as_many_as_are_asked_for_are_kept_over_a_resume(tmp_path):
    train(tmp_path, epochs=3, keep=2)
    assert names(tmp_path) == {"epoch_2.pth", "epoch_3.pth"}
    train(tmp_path, epochs=5, keep=2)
    assert names(tmp_path) == {"epoch_4.pth", "epoch_5.pth"}


def test_the_best_one_is_there_before_the_last_best_goes(monkeypatch, tmp_path):
    import tests.tiny.task as task

    scores = iter([0.5, 0.7, 0.6, 0.9])
    monkeypatch.setattr(
        task.TinyAccuracy, "compute_metrics", lambda self, _: dict(accuracy=next(scores))
    )
    seen, unlink = [], Path.unlink

    def watched(self, missing_ok=False):
        if self.name.startswith("best"):
            seen.append(sorted(path.name for path in tmp_path.glob("best*")))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    train(tmp_path, save_best="accuracy", rule="greater")
    best = [f"best_accuracy_epoch_{number}.pth" for number in (1, 2, 4)]
    assert seen == [best[:2], best[1:]]
    assert names(tmp_path) == {"epoch_4.pth", best[2]}


def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path):
    half = tmp_path / ".epoch_7.pth.k1ll3d00"
    half.mkdir()
    (half / "epoch_7.pth").write_bytes(b"PK")
    pointer = tmp_path / ".last_checkpoint.k1ll3d00"
    pointer.mkdir()
    other = tmp_path / ".hidden"
    other.mkdir()
    train(tmp_path, epochs=1)
    assert not half.exists()
    assert not pointer.exists()
    assert other.exists()


def test_that_is_so_in_the_work_directory_and_the_folder_of_the_checkpoints(tmp_path):
    run = tmp_path / "run"
    checkpoints = tmp_path / "elsewhere"
    left = [run / ".interrupted_iter_3.pth.k1ll3d", checkpoints / "run" / ".epoch_1.pth.k1ll3d"]
    for half in left:
        half.mkdir(parents=True)
    train(run, epochs=1, out_dir=str(checkpoints))
    assert not any(half.exists() for half in left)
    assert names(checkpoints / "run") == {"epoch_1.pth"}


def test_the_checkpoint_of_an_interruption_goes_with_the_next(tmp_path):
    train(tmp_path, epochs=1, keep=3)
    interrupted = tmp_path / "interrupted_iter_6.pth"
    (tmp_path / "epoch_1.pth").rename(interrupted)
    (tmp_path / "last_checkpoint").write_text(str(interrupted))
    train(tmp_path, epochs=2, keep=3)
    assert names(tmp_path) == {"epoch_2.pth"}
    assert load_file(tmp_path / "epoch_2.pth")["meta"]["epoch"] == 2
