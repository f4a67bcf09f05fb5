"""Rows of metafiles that plans take."""

from __future__ import annotations

import pytest

from tasks.benchmark.plan import Entry
from tasks.benchmark.rows import choose_rows, norm_in_words, processes_of

EVALUATION = "deeplab_r50-d8-released_8xb2-100k_ade20k"


def names(**entry):
    chosen, problems = choose_rows(Entry("segmentation", **entry))
    assert problems == []
    return {model.name for model in chosen}


@pytest.mark.parametrize("rows", ["published", "all"])
def test_nothing_is_trained_where_a_row_only_evaluates(rows):
    assert names(rows=rows)
    assert EVALUATION not in names(rows=rows)


def test_of_all_rows_some_are_published():
    assert names(rows="published") < names(rows="all")


def test_a_row_that_only_evaluates_cannot_be_chosen():
    chosen, problems = choose_rows(Entry("segmentation", rows=(EVALUATION,)))
    assert chosen == []
    assert problems == [
        f"tasks.segmentation: row '{EVALUATION}' is an evaluation of released weights, with "
        "nothing to train; tasks/segmentation/README.md has its command"
    ]
    assert choose_rows(Entry("segmentation", rows="all", without=(EVALUATION,)))[1] == []


def test_norms_and_names_choose():
    chosen, _ = choose_rows(Entry("video", rows="all", norms=("SSN",)))
    assert {norm_in_words(model) for model in chosen} == {"SSN"}
    assert choose_rows(Entry("video", rows="all", norms=()))[0] == []
    name = chosen[0].name
    assert choose_rows(Entry("video", rows=(name,)))[0] == [chosen[0]]
    assert chosen[0] not in choose_rows(Entry("video", rows="all", without=(name,)))[0]


def test_processes_are_those_of_the_batch_setting():
    found, _ = choose_rows(Entry("classification", rows="all"))
    by_name = {model.name: processes_of(model) for model in found}
    assert by_name["resnet50-sn_1xb16-100e_imagenet"] == 1
    assert by_name["resnet50-sn_8xb32-100e_imagenet"] == 8
