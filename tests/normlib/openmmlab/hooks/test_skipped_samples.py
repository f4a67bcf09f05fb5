"""SkippedSamplesHook: what it logs, when, of which data sets."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from normlib.openmmlab.errors import TrainingError
from normlib.openmmlab.hooks import SkippedSamplesHook
from normlib.openmmlab.launch import build_runner, load_config
from tests.tiny.task import TinyData

TINY = Path(__file__).parents[3] / "tiny" / "config.py"
RUNS = itertools.count()


@DATASETS.register_module(force=True)
class Damaged(TinyData):
    """Finds the samples of `broken` as it comes to them, and those of `late` from epoch 2 on."""

    def __init__(self, size=4, broken=(), late=()):
        super().__init__(size)
        self.broken, self.late = broken, late
        self.seen = 0
        self.found = []

    def __getitem__(self, index):
        self.seen += 1
        broken = index in self.broken or (index in self.late and self.seen > self.size)
        if broken and f"record {index}" not in self.found:
            self.found.append(f"record {index}")
        return super().__getitem__(index)

    def skipped(self):
        return list(self.found)


@DATASETS.register_module(force=True)
class PartlyDamaged(Damaged):
    """Uses its third sample although a part of it is damaged."""

    def incomplete(self):
        return ["record 2"]


@DATASETS.register_module(force=True)
class Twice(Dataset):
    """Another data set, as its `dataset`, or several."""

    metainfo = TinyData.metainfo

    def __init__(self, dataset=None, datasets=()):
        if dataset is not None:
            self.dataset = DATASETS.build(dataset)
        self.datasets = [DATASETS.build(one) for one in datasets]
        self.parts = self.datasets or [self.dataset]

    def __len__(self):
        return 4 * len(self.parts)

    def __getitem__(self, index):
        return self.parts[index // 4][index % 4]


def train(folder, dataset, loop=None):
    settings = {
        "work_dir": str(folder),
        "experiment_name": f"{folder}-{next(RUNS)}",
        "train_dataloader.dataset": dict(_delete_=True, **dataset),
        "train_cfg": loop or dict(by_epoch=True, max_epochs=3, val_interval=100),
        "param_scheduler": None,
        "custom_hooks": [dict(type="SkippedSamplesHook")],
    }
    runner = build_runner(load_config(TINY, settings))
    runner.train()
    log = Path(runner.log_dir, f"{runner.timestamp}.log").read_text()
    return re.findall(r"WARNING - (\d+ training samples? .*)", log), log


def test_once_while_nothing_changes(tmp_path):
    lines, log = train(tmp_path, dict(type="Damaged", broken=[1]))
    assert lines == ["1 training sample could not be decoded and was skipped: record 1"]
    assert log.index(lines[0]) < log.index("Saving checkpoint at 1 epochs")


def test_again_where_more_are_skipped(tmp_path):
    lines, _ = train(tmp_path, dict(type="Damaged", broken=[1], late=[0]))
    assert lines == [
        "1 training sample could not be decoded and was skipped: record 1",
        "2 training samples could not be decoded and were skipped: record 0, record 1",
    ]


def test_the_first_are_named(tmp_path):
    lines, _ = train(tmp_path, dict(type="Damaged", size=8, broken=range(5)))
    assert lines == [
        "5 training samples could not be decoded and were skipped: "
        "record 0, record 1, record 2 and 2 more"
    ]


def test_at_the_end_of_an_iteration_loop(tmp_path):
    loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=2, val_interval=100)
    lines, _ = train(tmp_path, dict(type="Damaged", broken=[1]), loop)
    assert lines == ["1 training sample could not be decoded and was skipped: record 1"]


@pytest.mark.parametrize("dataset", [dict(type="Damaged"), dict(type="TinyData")])
def test_nothing_where_nothing_is_skipped(tmp_path, dataset):
    assert train(tmp_path, dataset)[0] == []


def test_through_other_data_sets(tmp_path):
    inside = dict(type="Twice", dataset=dict(type="Damaged", broken=[1]))
    lines, _ = train(tmp_path, inside)
    assert lines == ["1 training sample could not be decoded and was skipped: record 1"]
    parts = [dict(type="Damaged", broken=[3]), dict(type="TinyData", size=4), inside]
    # Its log would have the same name if it started in the same second.
    lines, _ = train(tmp_path / "parts", dict(type="Twice", datasets=parts))
    assert lines == ["2 training samples could not be decoded and were skipped: record 1, record 3"]


@DATASETS.register_module(force=True)
class Limited(Damaged):
    """Allows one sample to be skipped."""

    most_skipped = 1


def test_more_than_the_data_set_allows_stop_the_run(tmp_path):
    train(tmp_path / "one", dict(type="Limited", broken=[1]))
    with pytest.raises(TrainingError, match=r"2 training samples .* more than the 1 that"):
        train(tmp_path / "two", dict(type="Limited", broken=[1, 2]))


def test_samples_that_are_used_in_part(tmp_path):
    lines, _ = train(tmp_path, dict(type="PartlyDamaged", broken=[1]))
    assert lines == [
        "1 training sample could not be decoded and was skipped: record 1",
        "1 training sample could be decoded in part only and was used: record 2",
    ]
    lines, _ = train(tmp_path / "sound", dict(type="PartlyDamaged"))
    assert lines == ["1 training sample could be decoded in part only and was used: record 2"]


def lines_on_rank(rank, names):
    lines = []
    dataset = SimpleNamespace(skipped=lambda: names[rank])
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset),
        logger=SimpleNamespace(warning=lines.append),
    )
    hook = SkippedSamplesHook()
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    hook.after_train(runner)
    return lines


def test_ranks_are_counted_together(rank_pool):
    lines = rank_pool(2).run(lines_on_rank, [["a", "b"], ["b", "c"]])
    expected = "3 training samples could not be decoded and were skipped: a, b, c"
    assert lines == [[expected], [expected]]
    assert rank_pool(2).run(lines_on_rank, [[], []]) == [[], []]
