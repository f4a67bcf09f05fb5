from __future__ import annotations

import numpy as np
import pytest

from tasks.data_checks import DatasetError
from tasks.face.evaluation.megaface import protocol as megaface
from tasks.face.evaluation.megaface.lists import ProbeList
from tasks.face.evaluation.megaface.probes import Probes
from tasks.face.evaluation.megaface.rows import UnitRows
from tasks.face.evaluation.megaface.sets import DistractorSet, chains, first_rows, segments
from tasks.face.evaluation.verification import VerificationError, far_name


def at(*cosines):
    """Unit vectors at these cosines to the first axis, each in a plane of its own."""
    rows = np.zeros((len(cosines), len(cosines) + 1), np.float32)
    for place, cosine in enumerate(cosines):
        rows[place, 0] = cosine
        rows[place, 1 + place] = np.sqrt(1 - cosine**2)
    return rows


@pytest.fixture
def scene():
    """Two people and eight distractors; the products are in the comments.

    a1.a2 = 0.5, b1.b2 = 0.25; a1 and b1 see distractors at what `cosines` and `others` say.
    """
    embeddings = np.zeros((4, 12), np.float32)
    embeddings[0, 0] = embeddings[2, 1] = 1  # a1, b1
    embeddings[1, [0, 2]] = 0.5, np.sqrt(0.75)  # a2
    embeddings[3, [1, 3]] = 0.25, np.sqrt(1 - 0.25**2)  # b2
    distractors = np.zeros((8, 12), np.float32)
    distractors[:, 0] = 0.75, 0.5, 0.25, 0, 0, 0, 0, 0
    distractors[:, 1] = 0, 0, 0.125, 0.125, 0, 0, 0, 0
    for row in range(8):
        distractors[row, 4 + row] = np.sqrt(1 - np.square(distractors[row, :2]).sum())
    names = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]
    others = [f"{row}/x/{row}.jpg" for row in range(8)]
    return UnitRows("probes", names, embeddings), UnitRows("others", others, distractors)


# a1 looks for a2 (0.5) among 0.75, 0.5 (a tie), 0.25: rank 3. a2 looks for a1 (0.5) among halves
# of these: rank 1. b1 and b2 (0.25) meet 0.125 at most: rank 1.
def test_ranks_by_hand(scene):
    features, distractors = scene
    sets = first_rows(np.arange(8), [1, 2, 8], "others")
    one, two, eight = megaface.evaluate(Probes.of(features), distractors, sets, [0.1])
    assert [one.cmc, two.cmc, eight.cmc] == [{1: 0.75}, {1: 0.75}, {1: 0.75}]
    assert (eight.pairs, eight.impostors, eight.distractors, eight.size) == (4, 32, 8, 8)
    assert megaface.metrics([one, eight], "_x")["rank1_x"] == 75


# The impostor scores in order: 0.75, 0.5, 0.375 (a2), 0.25, 0.25 (a2), 0.125 ... of 32. Genuine are
# 0.5 and 0.25. One false accept lets 0.5 in as the threshold: nothing is above it. Three: 0.25.
@pytest.mark.parametrize(
    ("far", "tar"), [(0.03, None), (1 / 32, 0), (2 / 32, 0.5), (3 / 32, 0.5), (5 / 32, 1)]
)
def test_verification_by_hand(scene, far, tar):
    features, distractors = scene
    sets = first_rows(np.arange(8), [8], "others")
    (result,) = megaface.evaluate(Probes.of(features), distractors, sets, [far])
    assert result.tars[0].tar == tar
    found = megaface.metrics([result])
    assert found.get(f"tar@far={far_name(far)}") == (None if tar is None else 100 * tar)
    assert all(1 / 32 <= point.far <= far for point in result.curve)


def test_rates_of_like_size_have_names_of_their_own(scene):
    features, distractors = scene
    sets = first_rows(np.arange(8), [8], "others")
    (result,) = megaface.evaluate(Probes.of(features), distractors, sets, [0.15, 0.2, 0.04])
    found = megaface.figures(result)
    names = {name for name in found if name.startswith("tar")}
    assert names == {"tar@far=1.5e-01", "tar@far=2e-01", "tar@far=4e-02"}
    assert (found["tar@far=4e-02"], found["tar@far=2e-01"]) == (0, 100)


def test_ranks_beyond_the_first():
    own = np.eye(1, 41, dtype=np.float32).repeat(2, axis=0)
    probes = Probes.of(UnitRows("p", ["a/1.jpg", "a/2.jpg"], own))

    def results(equal, others):
        rows = np.concatenate([own[:1].repeat(equal, axis=0), np.eye(41, dtype=np.float32)[1:]])
        rows = UnitRows("d", range(equal + others), rows[: equal + others])
        return megaface.evaluate(probes, rows, first_rows(np.arange(equal + others), None, "d"))

    ten, twelve = results(equal=12, others=0)
    assert (ten.size, ten.cmc, twelve.size, twelve.cmc) == (10, {1: 0, 10: 0}, 12, {1: 0, 10: 0})
    assert megaface.metrics([ten, twelve]) == {"rank1": 0, "rank10": 0}
    assert [entry.cmc for entry in results(equal=9, others=31)] == [{1: 0, 10: 1}] * 2


def test_sets_of_one_size_are_averaged(scene):
    features, distractors = scene
    sets = [DistractorSet("hard", 2, np.array([0, 3])), DistractorSet("easy", 2, np.array([6, 7]))]
    results = megaface.evaluate(Probes.of(features), distractors, sets)
    assert [entry.cmc[1] for entry in results] == [0.75, 1]
    assert megaface.metrics(results) == {"rank1": 87.5}  # no FAR of 1e-4 with 8 pairs


def test_sets_that_hold_each_other_share_a_pass():
    sets = [
        DistractorSet(str(place), len(rows), np.array(rows))
        for place, rows in enumerate([[4, 1, 2, 0], [7, 8], [2, 1], [0, 7, 8, 1, 2, 4]])
    ]
    found = chains(sets)
    assert sorted(map(sorted, found)) == [[0, 2], [1, 3]]
    (chain,) = (places for places in found if places[0] == 2)
    parts = segments([sets[place] for place in chain])
    assert [part.tolist() for part in parts] == [[1, 2], [0, 4]]


def test_noisy_probes_become_the_mean_of_the_others(scene):
    features, distractors = scene
    probes = Probes.of(features)
    cleaned = probes.replace_noisy(np.array([1]))
    assert np.abs(cleaned.embeddings[1] - features.embeddings[0]).max() < 1.1e-3
    assert not np.array_equal(cleaned.embeddings[1], features.embeddings[0])
    np.testing.assert_allclose(np.linalg.norm(cleaned.embeddings, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(cleaned.embeddings[[0, 2, 3]], probes.embeddings[[0, 2, 3]])
    again = probes.replace_noisy(np.array([1]))
    np.testing.assert_array_equal(again.embeddings, cleaned.embeddings)
    # Both pairs of a are then as good as perfect.
    sets = first_rows(np.arange(8), [8], "others")
    (result,) = megaface.evaluate(cleaned, distractors, sets)
    assert result.cmc[1] == 1
    with pytest.raises(DatasetError, match="all images of b are listed as noisy"):
        probes.replace_noisy(np.array([2, 3]))


def test_excluded_distractors(scene):
    features, distractors = scene
    (chosen,) = first_rows(np.arange(8), [8], "others")
    (result,) = megaface.evaluate(
        Probes.of(features), distractors, [chosen.without(np.array([0, 1, 77]))]
    )
    assert (result.cmc[1], result.distractors, result.size, result.impostors) == (1, 6, 8, 24)
    with pytest.raises(DatasetError, match="all 8 distractors of set first are noisy"):
        chosen.without(np.arange(8))


def test_listed_probes(scene):
    features, _ = scene
    listed = ProbeList("list.json", ["y", "x", "x", "y"], ["b/2", "a/1", "b/1", "a/2.png"])
    probes = Probes.of(features, listed)
    assert probes.names == ["b/2.jpg", "a/1.jpg", "b/1.jpg", "a/2.jpg"]
    assert [probes.person_names[person] for person in probes.people] == ["y", "x", "x", "y"]
    np.testing.assert_array_equal(probes.embeddings, features.embeddings[[3, 0, 2, 1]])


def test_what_cannot_be_probes():
    def probes(names, rows=None):
        return Probes.of(UnitRows("p", names, at(*[0.5] * len(names)) if rows is None else rows))

    with pytest.raises(DatasetError, match="p: b has one image only, as have 1 others of 3"):
        probes(["a/1", "a/2", "b/1", "c/1"])
    with pytest.raises(DatasetError, match=r"p: 1.jpg is in no folder that would say who it is"):
        probes(["1.jpg", "a/1.jpg"])
    with pytest.raises(DatasetError, match="p has no probe"):
        probes([], np.empty((0, 3), np.float32))
    with pytest.raises(DatasetError, match=r"row 1, the embedding of a/2, has norm 0.5"):
        probes(["a/1", "a/2"], np.array([[1, 0], [0, 0.5]], np.float32))


def test_what_cannot_be_evaluated(scene):
    features, distractors = scene
    probes, sets = Probes.of(features), first_rows(np.arange(8), [8], "others")
    other = UnitRows("others", range(8), at(*[0.5] * 8))
    with pytest.raises(DatasetError, match="probes has embeddings of 12 numbers, others of 9"):
        megaface.evaluate(probes, other, sets)
    with pytest.raises(VerificationError, match="a FAR is 2"):
        megaface.evaluate(probes, distractors, sets, [2])
    with pytest.raises(DatasetError, match="9 distractors are asked for; others has 8"):
        first_rows(np.arange(8), [4, 9], "others")
    with pytest.raises(DatasetError, match="others has no distractor"):
        first_rows(np.arange(0), None, "others")
