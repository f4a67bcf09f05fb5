"""Configs that checkpoints record are read as data, and compared."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from normlib.openmmlab.errors import CheckpointError
from normlib.openmmlab.recorded_config import differences, read_recorded

ROOT = Path(__file__).parents[3]
TOYS = sorted(path.relative_to(ROOT) for path in ROOT.glob("configs/*/toy/*.py"))


@pytest.mark.parametrize("path", [Path("tests/tiny/config.py"), *TOYS], ids=str)
def test_what_mmengine_writes_is_read(path):
    config = Config.fromfile(ROOT / path)
    read = read_recorded(config.pretty_text, "epoch_1.pth")
    assert read == config.to_dict()
    assert differences(read, config.to_dict()) == []


def test_values():
    values = dict(
        numbers=[1, -2, 3.5, -4e-5, math.inf, -math.inf, 1e300],
        words=("a", 'it\'s "so"', "two\nlines\t\\", "ä", "[(", ""),
        nested=dict(a=[dict(b=(1,)), {}], c=None, d=True),
        keys={"8x2": 1, "not": 2, 3: "x"},
        a_set={1, 2},
        nothing=[],
    )
    assert read_recorded(Config(values).pretty_text, "x.pth") == values
    assert math.isnan(read_recorded("a = nan", "x.pth")["a"])
    assert read_recorded("a = set()\na = 2  # again\n", "x.pth") == {"a": 2}


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "from os import system",
        "a = open('{mark}', 'w')",
        "a = __import__('pathlib').Path('{mark}').touch()",
        "a = dict(b=open('{mark}', 'w'))",
        "a = [exec('x') for _ in (1,)]",
        "a = (lambda: 1)()",
        "a = f'{{open}}'",
        "a = dict(**b)",
        "a = dict([('b', 1)])",
        "a = dict(1)",
        "a = {{**b}}",
        "a = b",
        "a = b.c",
        "a = 1 + 1",
        "a = -'x'",
        "a = 'x' 'y' % 1",
        "a = 1 if True else 2",
        "a = (b := 1)",
        "a = ...",
        "a = {{[]: 1}}",
        "a = b = 1",
        "a, b = 1, 2",
        "a.b = 1",
        "a[0] = 1",
        "a: int = 1",
        "a += 1",
        "dict(a=1)",
        "'a text'",
        "@a\ndef b(): pass",
        "a = '''x'''",
        "a = 1; b = 2",
    ],
)
def test_all_else_is_refused_and_not_run(text, tmp_path):
    mark = tmp_path / "ran"
    with pytest.raises(CheckpointError, match=r"recorded in x\.pth, line 3: .* is no data"):
        read_recorded("first = 1\n\n" + text.format(mark=mark), "x.pth")
    assert not mark.exists()


@pytest.mark.parametrize("text", ["a = 1 2", "a = (", "a = '\0'", "a = 1_", "a = " + "9" * 5000])
def test_what_is_not_python(text):
    with pytest.raises(CheckpointError, match=r"recorded in x\.pth.* cannot be read"):
        read_recorded(text, "x.pth")


@pytest.mark.parametrize(
    ("start", "part", "end"),
    [
        ("a = ", "(", ""),
        ("a = ", "[", "]"),
        ("a = ", "{1: ", ""),
        ("a = ", "dict(a=", ""),
        ("a = ", "-", "1"),
        ("a = 1", "-1", ""),
        ("a = 1", "**1", ""),
        ("a = ", "not ", "1"),
        ("a = ", "lambda: ", "1"),
        ("a = b", ".b", ""),
        ("a = b", "[0]", ""),
        ("a = b", "()", ""),
        ("a = b", "\n()", ""),
        ("a = ", "1 if 1 else ", "1"),
        ("a = 'x'", "[0]", ""),
        ('a = """a" """ + ', "(", ""),
        ("", "a = 1\n", ""),
        ("a = '", "x" * 50, "'"),
    ],
)
def test_texts_that_would_exhaust_the_parser(start, part, end):
    begin = time.process_time()
    with pytest.raises(CheckpointError, match=r"recorded in x\.pth"):
        read_recorded(start + part * 100_000 + end, "x.pth")
    assert time.process_time() - begin < 3


def test_differences():
    recorded = dict(
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.02)),
        pipeline=[dict(type="Load"), dict(type="Flip", prob=0.5)],
        milestones=(8, 11),
        removed=1,
        work_dir="a",
        hooks=[dict(interval=1)],
        rate=math.nan,
    )
    current = dict(
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
        pipeline=[dict(type="Load"), dict(type="Flip", prob=0.6)],
        milestones=[8, 11],
        added=dict(key="x" * 100),
        work_dir="b",
        hooks=[dict(interval=1), dict(interval=2)],
        rate=math.nan,
    )
    assert differences(recorded, current, ["work_dir"]) == [
        "optim_wrapper.optimizer.lr: 0.02, now 0.01",
        "pipeline.1.prob: 0.5, now 0.6",
        "removed: 1, now absent",
        "hooks: [{'interval': 1}], now [{'interval': 1}, {'interval': 2}]",
        f"added: absent, now {{'key': '{'x' * 47} ...",
    ]
    assert differences(recorded, current, ["work_dir", "optim_wrapper", "pipeline.1.prob", "hooks",
                                           "removed", "added"]) == []  # fmt: skip
    assert differences({}, {}) == []
    assert differences({"a": 1}, {"a": 1.0}) == []
