from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.data_checks import DatasetError
from tasks.face.evaluation.megaface.counts import count_at_least, count_by_places, count_by_rows
from tasks.face.evaluation.megaface.highest import HighestScores
from tasks.face.evaluation.megaface.matching import block_rows, match
from tasks.face.evaluation.megaface.pairs import GenuinePairs
from tasks.face.evaluation.megaface.rows import UnitRows, read_ahead

PEOPLE = np.array([0, 1, 0, 2, 1, 0, 2, 3])


def exact_units(count, seed, dim=24):
    """Unit vectors whose products are exact in float32, multiples of 1/16 with many ties."""
    random = np.random.default_rng(seed)
    signs = random.choice([-0.25, 0.25], (count, 16))
    rows = np.zeros((count, dim), np.float32)
    for row, part in zip(rows, signs, strict=True):
        row[random.permutation(dim)[:16]] = part
    return rows


def matched(rank=0, size=7, keep=(5, 40)):
    probes, rows = torch.from_numpy(exact_units(8, 1)), exact_units(101, 2)
    distractors = UnitRows("made up", [str(row) for row in range(101)], rows)
    segments = [np.arange(50, 60), np.r_[np.arange(0, 50), np.arange(60, 101)]]
    pairs = GenuinePairs.of(probes, PEOPLE)
    return match(probes, pairs.thresholds, distractors, segments, keep, size=size), pairs


def plain(rows):
    """Ranks and impostor scores by the definition, in float64."""
    probes, distractors = exact_units(8, 1).astype(float), exact_units(101, 2).astype(float)[rows]
    impostors = probes @ distractors.T
    ranks = [
        1 + np.count_nonzero(impostors[i] >= probes[i] @ probes[j])
        for i in range(8)
        for j in range(8)
        if i != j and PEOPLE[i] == PEOPLE[j]
    ]
    return sorted(ranks), np.sort(impostors.ravel())[::-1]


@pytest.mark.parametrize("size", [1, 7, 64, None])
def test_as_by_the_definition(size):
    (few, everything), pairs = matched(size=size)
    for found, rows, keep in ((few, range(50, 60), 5), (everything, range(101), 40)):
        ranks, impostors = plain(list(rows))
        assert found.distractors == len(rows)
        assert sorted(pairs.ranks(found.counts)) == ranks
        assert found.highest.tolist() == impostors[:keep].tolist()
    assert len(set(plain(range(101))[1][:60])) < 20  # there are ties to get wrong


def test_fewer_scores_than_wanted():
    (few, everything), _ = matched(keep=(1000, 2000))
    assert len(few.highest) == 80
    assert len(everything.highest) == 808


def test_two_processes_find_what_one_finds(rank_pool):
    alone, _ = matched()
    for together, _ in rank_pool(2).run(matched):
        for one, other in zip(alone, together, strict=True):
            assert one.distractors == other.distractors
            np.testing.assert_array_equal(one.counts, other.counts)
            np.testing.assert_array_equal(one.highest, other.highest)


def test_progress_reaches_the_end():
    told = []
    rows = UnitRows("made up", range(101), exact_units(101, 2))
    probes = torch.from_numpy(exact_units(2, 1))
    thresholds = torch.zeros(2, 1)
    match(probes, thresholds, rows, [np.arange(101)], [1], lambda *at: told.append(at), size=50)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_genuine_pairs():
    probes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
    pairs = GenuinePairs.of(probes, np.array([5, 3, 5, 5]))
    inf = float("inf")
    expected = [[0.6, 0.8], [inf, inf], [0.6, 0.96], [0.8, 0.96]]
    torch.testing.assert_close(pairs.thresholds, torch.tensor(expected))
    np.testing.assert_allclose(np.sort(pairs.scores), [0.6, 0.8, 0.96], rtol=1e-6)
    assert sorted(pairs.ranks(np.array([[4, 1], [9, 9], [0, 0], [0, 2]]))) == [1, 1, 1, 2, 3, 5]


def test_both_ways_of_counting():
    scores = torch.tensor([[0.5, 0.25, 0.5], [0.1, 0.0, -0.5], [1.0, 1.0, 1.0]])
    inf = float("inf")
    thresholds = torch.tensor([[0.25, 0.5, 0.75], [0.2, inf, inf], [-1.0, 1.0, inf]])
    expected = [[3, 2, 0], [0, 0, 0], [3, 3, 0]]
    counts = torch.ones(3, 3, dtype=torch.int64)
    count_at_least(scores, thresholds, counts)
    assert (counts - 1).tolist() == expected
    for way in (count_by_rows, count_by_places):
        counts = torch.zeros(3, 3, dtype=torch.int64)
        way(scores, thresholds, counts, torch.tensor([2, 0, 2]))
        assert counts.tolist() == expected


def test_highest_of_many_scores():
    # More than are looked at before the bound rises, so that most are dropped at sight.
    scores = torch.randint(-1000, 1000, (3, 900_000)) / 1024
    highest = HighestScores(70)
    for part in scores:
        highest.add(part)
    expected = scores.flatten().sort(descending=True).values
    assert highest.highest(70).sort(descending=True).values.tolist() == expected[:70].tolist()
    assert sorted(highest.highest(3)) == sorted(expected[:3])
    assert len(HighestScores(1).highest(1)) == 0


def test_blocks_have_a_bound():
    assert block_rows(1) == 16384
    assert block_rows(3530) == 16384
    assert block_rows(100_000) == 671
    assert block_rows(10**9) == 1


@pytest.mark.parametrize(("change", "norm"), [(1.002, "1.002"), (np.nan, "nan"), (0.0, "0")])
def test_a_row_that_is_not_normalised(change, norm):
    rows = exact_units(9, 3)
    rows[6] *= change
    distractors = UnitRows("d.npy", [f"{row}.jpg" for row in range(9)], rows)
    probes = torch.from_numpy(exact_units(2, 1))
    with pytest.raises(DatasetError, match=rf"d.npy: row 6, .* of 6.jpg, has norm {norm};"):
        match(probes, torch.zeros(2, 1), distractors, [np.arange(9)], [1], size=4)
    rows[6] = exact_units(1, 4) * np.float32(1.0009)
    match(probes, torch.zeros(2, 1), distractors, [np.arange(9)], [1], size=4)


def test_reading_ahead_keeps_order_and_errors():
    assert list(read_ahead(lambda item: item * 2, range(4))) == [0, 2, 4, 6]
    assert list(read_ahead(str, [])) == []

    def read(item):
        if item == 2:
            raise DatasetError("row 2")
        return item

    blocks = read_ahead(read, range(5))
    assert [next(blocks), next(blocks)] == [0, 1]
    with pytest.raises(DatasetError, match="row 2"):
        next(blocks)
