"""Data sets tell which file a sample comes from, for errors about the worker that held it."""

import pytest
from mmengine.registry import DATASETS, init_default_scope

from normlib.openmmlab.launch import load_config
from normlib.openmmlab.resuming.data_loading import sample_name
from tests.toy_tasks import TOYS


@pytest.mark.parametrize("name", ["classification", "face", "video", "pspnet", "faster-rcnn"])
def test_the_first_of_a_toy_data_set(name, tmp_path):
    task = TOYS[name]
    task.generate(tmp_path)
    cfg = load_config(task.config, task.run_options(tmp_path))
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert sample_name(dataset, 0).startswith(f"sample 0: {tmp_path}")
