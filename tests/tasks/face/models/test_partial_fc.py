"""PartialFC, on one and on several ranks, against the plain loss."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tasks.face.errors import ModelError
from tasks.face.losses import ArcFace, CosFace, margin_softmax_loss
from tasks.face.models import PartialFC
from tasks.face.optimizers import RowSparseSGD

CLASSES, DIM, BATCH = 11, 6, 4


def batch(ranks: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and labels of all ranks."""
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(ranks * BATCH, DIM, generator=generator, dtype=torch.float64)
    return embeddings, torch.randint(CLASSES, (ranks * BATCH,), generator=generator)


def head(**options) -> PartialFC:
    torch.manual_seed(5)
    return PartialFC(CLASSES, DIM, std=1.0, **options).double()


def plain(embeddings, labels, margin, ranks: int = 1):
    """Loss, gradient of the embeddings and of the centres, from the plain formula."""
    centres = head().weight.detach().requires_grad_()
    embeddings = embeddings.clone().requires_grad_()
    loss = margin_softmax_loss(embeddings, centres, labels, margin)
    loss.backward()
    return loss.detach(), embeddings.grad, centres.grad


@pytest.mark.parametrize("kind", ["ArcFace", "CosFace"])
def test_one_process_is_the_plain_softmax(kind):
    margin = {"ArcFace": ArcFace, "CosFace": CosFace}[kind]()
    embeddings, labels = batch()
    ours = embeddings.clone().requires_grad_()
    model = head(loss={"type": kind})
    loss = model.loss(ours, labels)["loss"]
    (3 * loss).backward()
    expected, of_embeddings, of_centres = plain(embeddings, labels, margin)
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(ours.grad, 3 * of_embeddings, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(model.weight.grad, 3 * of_centres, rtol=1e-10, atol=1e-13)


def test_loss_by_hand():
    """Two classes at right angles, an embedding on the first: cosines 1 and 0."""
    model = PartialFC(2, 2, loss={"type": "CosFace", "scale": 2.0, "margin": 0.25})
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.5]]))
    loss = model.loss(torch.tensor([[7.0, 0.0]]), torch.tensor([0]))["loss"]
    expected = -torch.tensor([1.5, 0.0]).log_softmax(0)[0]
    torch.testing.assert_close(loss, expected)


def on_rank(rank: int, ranks: int) -> dict[str, torch.Tensor]:
    embeddings, labels = batch(ranks)
    own = slice(rank * BATCH, (rank + 1) * BATCH)
    ours = embeddings[own].clone().requires_grad_()
    model = head()
    loss = model.loss(ours, labels[own])["loss"]
    loss.backward()
    return {
        "first": torch.tensor(model.first),
        "weight": model.weight.detach().numpy(),
        "loss": loss.detach().numpy(),
        # What data parallelism would make the mean of, over the ranks.
        "embeddings": (ours.grad / ranks).numpy(),
        "centres": model.weight.grad.numpy(),
    }


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_together_are_the_plain_softmax(rank_pool, ranks):
    parts = rank_pool(ranks).run(on_rank, ranks)
    expected, of_embeddings, of_centres = plain(*batch(ranks), ArcFace())
    sizes = [len(part["weight"]) for part in parts]
    assert sizes == {2: [6, 5], 3: [4, 4, 3]}[ranks]

    def joined(name):
        return torch.cat([torch.as_tensor(part[name]) for part in parts])

    assert torch.equal(joined("weight"), head().weight.detach())
    for part in parts:
        torch.testing.assert_close(torch.as_tensor(part["loss"]), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(joined("embeddings"), of_embeddings, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(joined("centres"), of_centres, rtol=1e-10, atol=1e-13)


class _Memory(TorchDispatchMode):
    """Follows the bytes of tensors that are made, and of what collectives receive."""

    def __init__(self, *there_before: torch.Tensor) -> None:
        super().__init__()
        self.now = self.peak = self.received = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in there_before}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        if func.namespace == "c10d":
            outputs = [t for t in tree_leaves(args[0]) if isinstance(t, torch.Tensor)]
            self.received += sum(t.nbytes for t in outputs)
        return result

    def _gone(self, key: int, nbytes: int) -> None:
        self.known.discard(key)
        self.now -= nbytes


def costs(rank: int, ranks: int, classes: int, sample_rate: float) -> tuple[int, int, int]:
    """Peak and received bytes of a step in float32, and bytes of the centres."""
    size, dim = 32, 64
    model = PartialFC(classes, dim, sample_rate=sample_rate)
    embeddings = torch.randn(size, dim, requires_grad=True)
    labels = torch.randint(classes, (size,))
    with _Memory(model.weight, embeddings, labels) as memory:
        model.loss(embeddings, labels)["loss"].backward()
    return memory.peak, memory.received, model.weight.nbytes


@pytest.mark.slow
def test_memory_and_communication_are_as_documented(rank_pool):
    classes, ranks, size, dim = 20_000, 2, 32, 64
    for rate in (1.0, 0.1):
        for peak, received, stored in rank_pool(ranks).run(costs, ranks, classes, rate):
            own, total = classes // ranks, ranks * size
            assert stored == 4 * own * dim
            chosen = rate * own
            needed = 4 * chosen * (total + dim * (1 if rate == 1 else 2))
            # Beside it: a draw for every class where they are sampled, and small change.
            slack = 0.1 * needed + (40 * own if rate < 1 else 0) + 4 * 12 * total * dim
            assert needed < peak < needed + slack
            # Buffers that collectives fill: all embeddings, the own gradients, some vectors.
            assert received < 4 * (total * dim + size * dim + 8 * total)
    # Neither grows with the number of classes, but for the own ones.
    (_, few, _), _ = rank_pool(ranks).run(costs, ranks, 100, 1.0)
    (_, many, _), _ = rank_pool(ranks).run(costs, ranks, 10_000, 1.0)
    assert few == many


def test_sampled_classes_are_a_softmax_over_them():
    embeddings, labels = batch()
    model = head(sample_rate=0.7)
    torch.manual_seed(1)
    loss = model.loss(embeddings, labels)["loss"]
    loss.backward()
    gradient = model.weight.grad
    assert gradient.is_sparse
    rows = gradient.coalesce().indices()[0]
    assert len(rows) == round(0.7 * CLASSES)
    assert set(labels.tolist()) <= set(rows.tolist())
    centres = head().weight.detach()[rows].requires_grad_()
    expected = margin_softmax_loss(embeddings, centres, torch.searchsorted(rows, labels), ArcFace())
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient.coalesce().values(), centres.grad)


def test_every_class_of_the_batch_takes_part_whatever_the_rate():
    model = head(sample_rate=0.01)
    labels = torch.tensor([9, 2, 2, 5])
    model.loss(batch()[0], labels)["loss"].backward()
    assert model.weight.grad.coalesce().indices()[0].tolist() == [2, 5, 9]


def test_other_negatives_are_drawn_in_every_step():
    model = head(sample_rate=0.5)
    labels = torch.tensor([1, 1, 1, 1])
    drawn = set()
    for _ in range(12):
        model.weight.grad = None
        model.loss(batch()[0], labels)["loss"].backward()
        drawn |= set(model.weight.grad.coalesce().indices()[0].tolist())
    assert drawn == set(range(CLASSES))


def test_logits_are_float32_under_autocast():
    embeddings, labels = batch()
    model = head().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = embeddings.bfloat16().requires_grad_()
        loss = model.loss(narrow, labels)["loss"]
        loss.backward()
    expected, _, of_centres = plain(embeddings.bfloat16().double(), labels, ArcFace())
    assert loss.dtype == torch.float32
    assert narrow.grad.dtype == torch.bfloat16
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(model.weight.grad.double(), of_centres, rtol=1e-4, atol=1e-5)


def test_labels_that_are_no_class():
    model = head()
    for label in (CLASSES, -1):
        with pytest.raises(
            ModelError, match=rf"label {label}; .*is 11, so that labels are 0 to 10"
        ):
            model.loss(batch()[0], torch.tensor([0, label, 1, 2]))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"num_classes": 0}, "num_classes is 0"), ({"sample_rate": 0.0}, "sample_rate is 0.0")],
)
def test_wrong_arguments(options, text):
    with pytest.raises(ModelError, match=text):
        PartialFC(**{"num_classes": 4, **options})


def test_training_with_sampled_classes_learns():
    """Every embedding ends nearest to its own centre."""
    torch.manual_seed(0)
    embeddings = nn.Parameter(torch.randn(20, 8))
    model = PartialFC(20, 8, sample_rate=0.3)
    optimizer = RowSparseSGD([embeddings, model.weight], lr=0.1, momentum=0.9)
    labels = torch.arange(20)
    for step in range(300):
        part = torch.arange(20).roll(step * 4)[:4]
        loss = model.loss(embeddings[part], labels[part])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    cosines = nn.functional.normalize(embeddings) @ nn.functional.normalize(model.weight).T
    assert (cosines.argmax(1) == labels).double().mean() > 0.9
