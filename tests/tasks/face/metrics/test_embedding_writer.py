from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS

import tasks.face.metrics  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.face.evaluation import EmbeddingFolder
from tasks.face.evaluation.embedding_output import EmbeddingOutputError

NAMES = [f"ann/{index}.jpg" for index in range(7)]


def samples():
    embeddings = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    return [{"embedding": e, "index": torch.tensor(i)} for i, e in enumerate(embeddings)]


def expected():
    return torch.stack([sample["embedding"] for sample in samples()]).numpy()


def build(out, **options):
    metric = dict(type="EmbeddingWriter", out_dir=str(out), about={"flip": True}, **options)
    evaluator = Evaluator(METRICS.build(metric))
    evaluator.dataset_meta = {"names": NAMES}
    return evaluator


def evaluate(evaluator, given, batch=3):
    for start in range(0, len(given), batch):
        evaluator.process(data_samples=given[start : start + batch], data_batch=None)
    return evaluator.evaluate(len(given))


def test_writes_a_folder(tmp_path):
    assert evaluate(build(tmp_path / "out"), samples()) == {"images": 7}
    folder = EmbeddingFolder.open(tmp_path / "out")
    assert np.array_equal(folder.embeddings, expected())
    assert folder.names == NAMES
    assert folder.about == {"flip": True, "count": 7, "dim": 4}


def test_half_precision_and_any_order(tmp_path):
    given = [{**s, "embedding": s["embedding"].bfloat16()} for s in reversed(samples())]
    evaluate(build(tmp_path / "out"), given)
    found = EmbeddingFolder.open(tmp_path / "out").embeddings
    assert np.array_equal(found, torch.from_numpy(expected()).bfloat16().float().numpy())


def test_the_place_is_checked_before_any_work(tmp_path):
    evaluate(build(tmp_path / "out"), samples())
    with pytest.raises(EmbeddingOutputError, match="--force to replace it"):
        build(tmp_path / "out")
    evaluate(build(tmp_path / "out", force=True), samples())


def spoil(given, how):
    if how == "nan":
        given[4]["embedding"][2] = torch.nan
    elif how == "double":
        given[4] = given[2]
    elif how == "missing":
        del given[4:]
    else:
        given[4]["index"] = torch.tensor(7)
    return given


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("nan", r"the embedding of ann/4.jpg \(image 4\) holds NaN"),
        ("double", r"2 embeddings of ann/2.jpg \(image 2\), and 2 such images"),
        ("missing", r"0 embeddings of ann/4.jpg \(image 4\), and 3 such images"),
        ("foreign", "an embedding of image 7 of 7"),
    ],
)
def test_an_error_leaves_nothing(tmp_path, how, error):
    evaluator = build(tmp_path / "out")
    with pytest.raises(DatasetError, match=error):
        evaluate(evaluator, spoil(samples(), how))
    del evaluator
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_other_data_sets(tmp_path):
    evaluator = build(tmp_path / "out")
    evaluator.dataset_meta = {}
    with pytest.raises(DatasetError, match="does not name its images"):
        evaluate(evaluator, samples())
    with pytest.raises(DatasetError, match="no image to embed"):
        evaluator.evaluate(0)


def on_rank(rank, out, own):
    evaluator = build(out, collect_dir=f"{out}_parts")
    for index in own[rank]:
        evaluator.process(data_samples=[samples()[index]], data_batch=None)
    return evaluator.evaluate(7)


def refused_on_rank(rank, out):
    with pytest.raises(EmbeddingOutputError, match="--force"):
        build(out)


@pytest.mark.parametrize(
    "own",
    [
        pytest.param([[0, 2, 4, 6], [1, 3, 5, 0]], id="one repeated, as samplers do"),
        pytest.param([range(7), []], id="a rank without images"),
    ],
)
def test_ranks_share_one_folder(rank_pool, tmp_path, own):
    out = tmp_path / "out"
    assert rank_pool(2).run(on_rank, str(out), own) == [{"images": 7}] * 2
    assert np.array_equal(EmbeddingFolder.open(out).embeddings, expected())
    rank_pool(2).run(refused_on_rank, str(out))
