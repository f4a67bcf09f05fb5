"""The plan that the README of the project shows."""

from __future__ import annotations

import re

import pytest

from tasks.benchmark import expand, read_plan
from tasks.benchmark.configs import ConfigFacts
from tasks.benchmark.initial_weights import WEIGHTS_OF, initial_weights
from tasks.benchmark.plan import ROOT

NORM_OF_FILE = re.compile(r"checkpoints/\w+?_(sn|syncsn|ssn)_")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    text = (ROOT / "README.md").read_text()
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", text, re.S) if "norms:" in b)
    folder = tmp_path_factory.mktemp("readme")
    path = folder / "mine.yaml"
    path.write_text(block)
    return expand(read_plan(path), folder / "out", needs_data=False)


def test_has_every_training_once(runs):
    trained = [(run.config, run.norm, run.batch_setting, run.seed) for run in runs]
    assert len(set(trained)) == len(trained) > 0
    assert {run.row is None for run in runs} == {True, False}


def test_starts_every_training_from_weights_of_its_norm(runs):
    configs = {path: ConfigFacts.read(path).content for path in {run.config for run in runs}}
    for run in runs:
        norms = [norm.lower() for norm in WEIGHTS_OF.get(run.norm, (run.norm,))]
        assert {need.norm.lower() for need in run.needs} <= set(norms)
        made = {str(need.work_dir / "weights.pth") for need in run.needs}
        files = set(initial_weights(configs[run.config], run.options).values())
        assert made <= files
        for file in files - made:
            assert NORM_OF_FILE.match(file)[1] in norms, (run.title, file)
    assert any(run.needs for run in runs)
