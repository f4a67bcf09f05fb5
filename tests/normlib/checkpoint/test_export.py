from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from normlib import SparseSwitchNorm2d, SwitchNorm2d
from normlib.checkpoint.export import export
from normlib.checkpoint.exported import ExportError, run_exported
from normlib.layers import Choice
from tests.normlib.checkpoint.test_plain_norm import assert_same, trained

FORMATS = ["torch_export", "onnx"]
SUFFIX = {"torch_export": ".pt2", "onnx": ".onnx"}


class Block(nn.Module):
    """Norms of every kind, with a fused residual and ReLU, and one that can be folded."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.bn = trained(SwitchNorm2d, Choice("bn", "bn"), activation="relu")
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.soft = trained(SwitchNorm2d, unbiased=True)
        self.sparse = trained(SparseSwitchNorm2d, radius=0.4, activation="relu")
        self.two = trained(SwitchNorm2d, normalizers=("in", "ln"))
        self.settled = nn.Sequential(
            *[trained(SwitchNorm2d, Choice(name, name)) for name in ("in", "ln", "bn")]
        )

    def forward(self, x):
        x = self.bn(self.stem(x))
        y = self.sparse(self.soft(self.conv(x)), residual=x)
        return {"map": self.settled(self.two(y) + x), "scores": [y.mean((2, 3)), y.amax((2, 3))]}


def leaves(output):
    """What the model, a loaded program and an ONNX session return, as one list."""
    return [output["map"], *output["scores"]] if isinstance(output, dict) else output


@pytest.mark.parametrize("format", FORMATS)
def test_any_batch_and_image_size(format, tmp_path):
    model = Block().eval()
    path = tmp_path / f"new/model{SUFFIX[format]}"
    result = export(model, torch.randn(2, 3, 32, 48), path, format)
    assert result.folded.convolutions == {"bn": "stem"}
    assert set(result.folded.kept) > {"soft", "sparse", "two", "settled.2"}
    assert result.agreement.any_batch
    assert result.agreement.multiple == 1
    assert 0 < result.agreement.difference < 1e-4
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]

    run = run_exported(path, format)
    for shape in ((1, 3, 33, 27), (5, 3, 8, 100), (1, 3, 2, 2)):
        x = torch.randn(shape)
        with torch.no_grad():
            expected = leaves(model(x))
        for actual, wanted in zip(leaves(run(x)), expected, strict=True):
            assert_same(actual, wanted, tolerance=1e-4)


def test_a_program_needs_torch_alone(tmp_path):
    model, x = Block().eval(), torch.randn(1, 3, 20, 24)
    export(model, torch.randn(2, 3, 16, 16), tmp_path / "model.pt2", "torch_export")
    torch.save([x, *leaves(model(x))], tmp_path / "expected.pt")
    script = """
import sys, torch
x, *expected = torch.load("expected.pt")
output = torch.export.load("model.pt2").module()(x)
actual = [output["map"], *output["scores"]]
for a, b in zip(actual, expected, strict=True):
    assert (a - b).abs().max() <= 1e-4 * b.abs().max()
assert not [name for name in sys.modules if name.startswith("normlib")]
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("format", ["onnx"])
def test_an_onnx_graph_is_standard_and_float32(format, tmp_path):
    import onnx

    export(Block(), torch.randn(2, 3, 16, 16), tmp_path / "model.onnx", format)
    graph = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert {entry.domain for entry in graph.opset_import} == {""}
    assert not graph.functions
    tensors = [*graph.graph.value_info, *graph.graph.output]
    kinds = {tensor.type.tensor_type.elem_type for tensor in tensors}
    assert onnx.TensorProto.DOUBLE not in kinds
    (image,) = graph.graph.input
    sizes = [size.dim_param or size.dim_value for size in image.type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, "height", "width"]
    assert [output.name for output in graph.graph.output] == ["output0", "output1", "output2"]


@pytest.mark.parametrize("format", FORMATS)
def test_sizes_that_the_graph_does_not_take_are_found_out(format, tmp_path):
    class Tied(nn.Module):
        def __init__(self, wiring):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.wiring = wiring

        def forward(self, x):
            return self.wiring(self.conv(x))

    x = torch.randn(2, 3, 16, 16)
    halves = Tied(lambda y: y.unflatten(2, (-1, 8)).sum(3))
    paths = [tmp_path / f"{k}{SUFFIX[format]}" for k in range(3)]
    assert export(halves, x, paths[0], format).agreement.multiple == 8
    fixed = Tied(lambda y: y + torch.ones(16))
    agreement = export(fixed, x, paths[1], format).agreement
    assert (agreement.any_batch, agreement.multiple) == (True, None)
    pairs = Tied(lambda y: y[0] - y[1])
    assert export(pairs, x, paths[2], format).agreement.multiple == 1


def refused(model, format="torch_export", x=None, **kwargs):
    def run(tmp_path):
        path = tmp_path / "model.pt2"
        export(model, torch.randn(2, 3, 8, 8) if x is None else x, path, format, **kwargs)

    return run


class Reads(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Counts(nn.Module):
    def forward(self, x):
        return x.shape[0]


class Draws(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (refused(Reads()), "the model cannot be recorded as one graph"),
        (refused(Counts()), "no tensor to compare"),
        (refused(Draws()), "output 0 differs"),
        (refused(Two()), "the model does not run on one tensor of shape .* TypeError.*'y'"),
        (refused(nn.ReLU(), "pt"), "format is 'pt'; it must be 'torch_export' or 'onnx'"),
        (refused(nn.ReLU(), "onnx"), r"model\.pt2 ends in '\.pt2'.* has to end in '\.onnx'"),
        (refused(nn.ReLU(), x=torch.randn(1, 3, 8, 8)), "N of 2 or more"),
        (refused(nn.ReLU(), x=torch.randn(2, 3)), r"shape \(2, 3\)"),
    ],
    ids=["branch", "number", "random", "arguments", "format", "suffix", "one sample", "no images"],
)
def test_what_cannot_be_exported_leaves_no_file(run, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        run(tmp_path)
    assert not any(tmp_path.iterdir())


def test_operators_of_others_are_refused(tmp_path):
    library = torch.library.Library("normlib_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CompositeExplicitAutograd")

    class Foreign(nn.Module):
        def forward(self, x):
            return torch.ops.normlib_test.twice(x)

    with pytest.raises(ExportError, match=r"not PyTorch's own: normlib_test\.twice"):
        export(Foreign(), torch.randn(2, 3, 8, 8), tmp_path / "model.pt2", "torch_export")


def test_a_file_is_replaced_only_on_demand_and_kept_when_the_export_fails(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"old")
    x = torch.randn(2, 3, 8, 8)
    with pytest.raises(ExportError, match=r"model\.pt2 exists already"):
        export(nn.ReLU(), x, path, "torch_export")
    with pytest.raises(ExportError, match="recorded"):
        export(Reads(), x, path, "torch_export", overwrite=True)
    assert path.read_bytes() == b"old"
    export(nn.ReLU(), x, path, "torch_export", overwrite=True)
    assert torch.equal(run_exported(path, "torch_export")(x), x.relu())
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt2"]


def test_a_disk_that_refuses(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.export, "save", full)
    with pytest.raises(ExportError, match=r"model\.pt2 cannot be written: .*No space"):
        export(nn.ReLU(), torch.randn(2, 3, 8, 8), tmp_path / "model.pt2", "torch_export")
    assert not any(tmp_path.iterdir())


def test_the_tolerance_decides(tmp_path):
    # float32 rounds what float64 would not: no graph is better than this.
    model = nn.Sequential(nn.Conv2d(3, 6, 3), trained(SwitchNorm2d))
    x = torch.randn(2, 3, 8, 8)
    with pytest.raises(ExportError, match="differ by"):
        export(model, x, tmp_path / "model.pt2", "torch_export", tolerance=1e-12)


def test_a_missing_package_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r"onnxscript.*pip install 'normlib\[export\]'"):
        export(nn.ReLU(), torch.randn(2, 3, 8, 8), tmp_path / "model.onnx", "onnx")


def test_the_model_is_not_changed(tmp_path):
    model = Block().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export(model, torch.randn(2, 3, 16, 16), tmp_path / "model.pt2", "torch_export")
    assert all(module.training for module in (model, model.conv))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
