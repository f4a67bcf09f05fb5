"""Synchronised layers on real gloo processes, against one process with the whole batch."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.parallel import DistributedDataParallel

import normlib
from normlib.layers import Choice

CHANNELS = 5
EVEN = [(2, 4, 3), (2, 4, 3)]
UNEVEN_BATCHES = [(1, 4, 3), (3, 4, 3)]
UNEVEN_MAPS = [(2, 4, 3), (2, 7, 2)]
EMPTY_RANK = [(3, 4, 3), (0, 4, 3)]
LAYOUTS = {
    "even": EVEN,
    "uneven batches": UNEVEN_BATCHES,
    "uneven maps": UNEVEN_MAPS,
    "empty rank": EMPTY_RANK,
    "empty rank first": EMPTY_RANK[::-1],
    "all empty": [(0, 4, 3), (0, 2, 2)],
    "three ranks": [(1, 4, 3), (0, 1, 1), (2, 3, 5)],
}


class Net(nn.Module):
    """Convolution, norm, convolution, norm: batch statistics feed on batch statistics."""

    def __init__(self, norm: str, **kwargs: object) -> None:
        super().__init__()
        layer = getattr(normlib, norm)
        self.first = nn.Conv2d(3, CHANNELS, 1)
        self.norm1 = layer(CHANNELS, **kwargs)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.norm2 = layer(CHANNELS, **kwargs)

    def forward(self, x):
        return self.norm2(self.second(self.norm1(self.first(x)).relu()))


def build(norm: str, **kwargs: object) -> Net:
    torch.manual_seed(1)
    net = Net(norm, **kwargs).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return net


def data(layout):
    torch.manual_seed(2)
    shapes = [(n, 3, h, w) for n, h, w in layout]
    return [torch.randn(s, dtype=torch.float64) + 0.5 for s in shapes]


def loss_of(y: torch.Tensor) -> torch.Tensor:
    """A sum over elements, so that ranks and batches add up whatever their sizes."""
    weights = torch.linspace(-1, 2, CHANNELS, dtype=torch.float64).view(-1, 1, 1)
    return (weights * y.pow(3)).sum()


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


def results_on_rank(rank, norm, layout, kwargs, backend="eager"):
    torch.set_default_dtype(torch.float32)
    net = build(norm, **kwargs)
    wrapped = DistributedDataParallel(net, broadcast_buffers=False)
    x = data(layout)[rank].requires_grad_()
    with normlib.use_backend(backend), CommDebugMode() as communication:
        y = wrapped(x)
        forward = communication.get_total_counts()
        loss_of(y).backward()
    return {
        "y": y.detach(),
        "dx": x.grad,
        "grads": {k: p.grad for k, p in net.named_parameters()},
        "state": state(net),
        "forward collectives": forward,
    }


def results_alone(norm, layout, kwargs):
    """One process with all samples; the maps of each rank's samples may differ in size."""
    net = build(norm.replace("Sync", ""), **kwargs)
    inputs = [x.requires_grad_() for x in data(layout)]
    outputs = whole_batch_forward(net, inputs)
    sum(loss_of(y) for y in outputs).backward()
    return {
        "y": [y.detach() for y in outputs],
        "dx": [x.grad for x in inputs],
        "grads": {k: p.grad for k, p in net.named_parameters()},
        "state": state(net),
    }


def whole_batch_forward(net, inputs):
    if len({x.shape[2:] for x in inputs}) == 1:
        return list(net(torch.cat(inputs)).split([len(x) for x in inputs]))
    hidden = plain_norm(net.norm1, [net.first(x) for x in inputs])
    return plain_norm(net.norm2, [net.second(h.relu()) for h in hidden])


def plain_norm(layer, inputs):
    """The formulas over maps of several sizes, batch statistics over all their elements."""
    elements = torch.cat([x.transpose(0, 1).flatten(1) for x in inputs], 1)
    if elements.shape[1] > 0:
        var, mean = torch.var_mean(elements, 1, correction=0)
        with torch.no_grad():
            layer.running_mean.lerp_(mean, layer.momentum)
            layer.running_var.lerp_(var, layer.momentum)
    else:
        mean = var = elements.sum(1)
    w1, w2 = layer.ratios()
    outputs = []
    for x in inputs:
        var_in, mean_in = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        var_ln, mean_ln = torch.var_mean(x, (1, 2, 3), correction=0, keepdim=True)
        over = (1, -1, 1, 1)
        mu = w1[0] * mean_in + w1[1] * mean_ln + w1[2] * mean.view(over)
        sigma2 = w2[0] * var_in + w2[1] * var_ln + w2[2] * var.view(over)
        y = (x - mu) / (sigma2 + layer.eps).sqrt()
        outputs.append(y * layer.weight.view(over) + layer.bias.view(over))
    return outputs


def assert_same(actual, expected, what):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10 * scale(expected), msg=what)


def scale(tensor):
    return max(1.0, tensor.abs().max().item()) if tensor.numel() else 1.0


@pytest.mark.filterwarnings("ignore:var_mean")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("norm", ["SyncSwitchNorm", "SyncSparseSwitchNorm"])
def test_ranks_equal_one_process_with_the_whole_batch(rank_pool, norm, layout):
    shapes = LAYOUTS[layout]
    kwargs = {"radius": 0.3} if "Sparse" in norm else {}
    ranks = rank_pool(len(shapes)).run(results_on_rank, norm, shapes, kwargs)
    alone = results_alone(norm, shapes, kwargs)
    for rank, result in enumerate(ranks):
        assert_same(result["y"], alone["y"][rank], f"output of rank {rank}")
        assert_same(result["dx"], alone["dx"][rank], f"input gradient of rank {rank}")
        for name, grad in alone["grads"].items():
            # DDP averages over ranks, this loss is a sum.
            assert_same(result["grads"][name] * len(shapes), grad, f"gradient of {name}")
        for name, value in alone["state"].items():
            assert_same(result["state"][name], value, name)
            assert torch.equal(result["state"][name], ranks[0]["state"][name]), name


@pytest.mark.parametrize("layout", ["uneven batches", "empty rank"])
def test_the_reference_backend_agrees(rank_pool, layout):
    shapes = LAYOUTS[layout]
    pool = rank_pool(len(shapes))
    eager = pool.run(results_on_rank, "SyncSwitchNorm", shapes, {})
    reference = pool.run(results_on_rank, "SyncSwitchNorm", shapes, {}, "reference")
    for a, b in zip(eager, reference, strict=True):
        assert_same(a["y"], b["y"], "output")
        assert_same(a["dx"], b["dx"], "input gradient")
        for name, grad in b["grads"].items():
            assert_same(a["grads"][name], grad, f"gradient of {name}")


def collectives_on_rank(rank, norm, kwargs, choice, training=True, needs_grad=True):
    layer = getattr(normlib, norm)(CHANNELS, **kwargs)
    layer.train(training)
    if choice is not None:
        layer.settle(Choice(*choice))
    x = torch.randn(2, CHANNELS, 3, 3, requires_grad=needs_grad)
    with CommDebugMode() as communication:
        y = layer(x)
        forward = communication.get_total_counts()
        if needs_grad:
            y.sum().backward()
    return forward, communication.get_total_counts() - forward


@pytest.mark.parametrize(
    ("norm", "kwargs", "choice", "expected"),
    [
        ("SyncSwitchNorm", {}, None, (1, 1)),
        ("SyncSparseSwitchNorm", {"radius": 0.9}, None, (1, 1)),
        ("SyncSwitchNorm", {}, ("bn", "ln"), (1, 1)),
        ("SyncSwitchNorm", {}, ("in", None), (1, 1)),
        ("SyncSwitchNorm", {}, ("in", "ln"), (0, 0)),
        ("SyncSparseSwitchNorm", {}, ("ln", "ln"), (0, 0)),
        ("SyncSwitchNorm", {"normalizers": ("in", "ln")}, None, (0, 0)),
        ("SwitchNorm", {}, None, (0, 0)),
    ],
)
def test_one_collective_each_way_and_none_without_the_batch(
    rank_pool, norm, kwargs, choice, expected
):
    for counts in rank_pool(2).run(collectives_on_rank, norm, kwargs, choice):
        assert counts == expected


def test_no_collective_in_evaluation(rank_pool):
    for counts in rank_pool(2).run(collectives_on_rank, "SyncSwitchNorm", {}, None, False):
        assert counts == (0, 0)


def subgroup_on_rank(rank):
    pairs = [dist.new_group([0, 1]), dist.new_group([2])]
    mine = pairs[0] if rank < 2 else pairs[1]
    layer = normlib.SyncSwitchNorm(CHANNELS, process_group=mine).double()
    layer(data(LAYOUTS["three ranks"][:1] * 3)[rank].new_full((2, CHANNELS, 2, 2), float(rank)))
    return layer.running_mean / layer.momentum


def test_statistics_stay_within_the_process_group(rank_pool):
    means = rank_pool(3).run(subgroup_on_rank)
    for mean, expected in zip(means, (0.5, 0.5, 2.0), strict=True):
        torch.testing.assert_close(mean, torch.full_like(mean, expected))


def copied_on_rank(rank):
    layer = normlib.SyncSwitchNorm(CHANNELS, process_group=dist.group.WORLD)
    twin = copy.deepcopy(layer)
    assert twin.process_group is layer.process_group
    assert twin.weight is not layer.weight
    x = torch.randn(2, CHANNELS, 2, 2)
    return torch.equal(layer(x), twin(x))


def test_a_deep_copy_works_with_the_same_processes(rank_pool):
    assert rank_pool(2).run(copied_on_rank) == [True, True]


def compiled_on_rank(rank):
    torch._dynamo.reset()
    results = []
    for compiled in (False, True):
        layer = normlib.SyncSwitchNorm(CHANNELS).double()
        function = torch.compile(layer, fullgraph=True, backend="aot_eager") if compiled else layer
        torch.manual_seed(rank)
        x = torch.randn(2, CHANNELS, 3, 3, dtype=torch.float64, requires_grad=True)
        function(x).pow(3).sum().backward()
        results.append((x.grad, layer.mean_weight.grad, layer.running_var))
    return results


def test_collectives_trace_into_one_graph(rank_pool):
    for plain, compiled in rank_pool(2).run(compiled_on_rank):
        for a, b in zip(plain, compiled, strict=True):
            torch.testing.assert_close(a, b)


def test_in_one_process_it_is_sn():
    torch.manual_seed(3)
    x = torch.randn(4, CHANNELS, 3, 3)
    assert torch.equal(normlib.SyncSwitchNorm(CHANNELS)(x), normlib.SwitchNorm(CHANNELS)(x))
