from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from normlib.openmmlab.data_sets import data_sources
from normlib.openmmlab.errors import ConfigError


class Numbers(BaseDataset):
    """Numbers up to `count`; whether they are checked is remembered."""

    examined_with = dict(checked=False)

    def __init__(self, count=3, checked=True, **kwargs):
        self.count, self.checked = count, checked
        super().__init__(**kwargs)

    def load_data_list(self):
        return [{"number": k} for k in range(self.count)]


@pytest.fixture(autouse=True)
def registered():
    DATASETS.register_module(module=Numbers, force=True)
    yield
    DATASETS.module_dict.pop("Numbers")


def _config(**datasets):
    loaders = {f"{split}_dataloader": dict(dataset=dataset) for split, dataset in datasets.items()}
    return Config(loaders)


def _numbers(count):
    return dict(type="Numbers", count=count)


def test_a_data_set_of_two_loaders_comes_once():
    sources = data_sources(_config(train=_numbers(5), val=_numbers(2), test=_numbers(2)))
    assert [(source.name, source.splits) for source in sources] == [
        ("train", ("train",)),
        ("val", ("val", "test")),
    ]
    assert [len(source.build()) for source in sources] == [5, 2]


def test_chosen_splits():
    cfg = _config(train=_numbers(5), val=_numbers(2), test=_numbers(2))
    sources = data_sources(cfg, ["test", "test"])
    assert [(source.name, source.splits) for source in sources] == [("test", ("test",))]


def test_wrappers_are_taken_off():
    joined = dict(type="ConcatDataset", datasets=[_numbers(1), dict(type="X", dataset=_numbers(2))])
    sources = data_sources(
        _config(train=dict(type="RepeatDataset", times=9, dataset=joined), val=_numbers(2))
    )
    assert [(source.name, source.splits) for source in sources] == [
        ("train-1", ("train",)),
        ("train-2", ("train", "val")),
    ]
    assert [len(source.build()) for source in sources] == [1, 2]


def test_building():
    config = _numbers(4) | dict(lazy_init=True, metainfo=dict(classes=["a"]))
    (source,) = data_sources(_config(val=config))
    dataset = source.build()
    assert len(dataset) == 4
    assert dataset.checked
    assert not source.build(to_examine=True).checked
    assert source.build().checked


@pytest.mark.parametrize(
    ("cfg", "splits", "message"),
    [
        (_config(val=_numbers(1)), ["test", "val"], "has no test_dataloader; its splits: val"),
        (Config(dict(train_dataloader=None)), None, "names no data"),
        (Config(dict(val_dataloader=dict(batch_size=1))), None, "val_dataloader has no dataset"),
    ],
)
def test_what_a_config_lacks(cfg, splits, message):
    with pytest.raises(ConfigError, match=message):
        data_sources(cfg, splits)


def test_the_config_is_named(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(ConfigError, match=str(path)):
        data_sources(Config.fromfile(path))
