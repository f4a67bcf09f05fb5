"""plot_ratios.py: pictures and tables of records and checkpoints, and what it says to bad paths."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

import normlib
from normlib.analysis.ratio_file import RatioWriter
from normlib.analysis.ratio_record import RecordedLayer, flat_size
from normlib.openmmlab.exit_code import exit_code

TOOL = str(Path(__file__).resolve().parents[2] / "tools" / "plot_ratios.py")
NAMES = ("backbone.norm1", "backbone.norm2", "neck.norm")


def work_dir(folder: Path, kind: str = "SN", field: int | None = 7) -> Path:
    """What a run leaves: soft ratios that become one-hot."""
    three = ("in", "ln", "bn")
    layers = [RecordedLayer(n, n.split(".")[0], kind, three, 8, field, field) for n in NAMES]
    folder.mkdir(parents=True)
    writer = RatioWriter(folder / "ratios.bin", layers, 20, 0)
    writer.append(0, np.full(flat_size(layers), 1 / 3, np.float32))
    last = [0, 0, 1] if kind == "SSN" else [0.2, 0.3, 0.5]
    writer.append(20, np.array(last * 6, np.float32))
    return folder


def run(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output and errors."""
    monkeypatch.setattr(sys, "argv", [TOOL, *map(str, arguments)])
    tool = runpy.run_path(TOOL)
    args = tool["parse_args"]()
    code = exit_code(lambda: tool["plot"](args))
    output = capsys.readouterr()
    return code, output.out, output.err


def pictures(folder: Path) -> set[str]:
    return {path.name.removesuffix(".png") for path in folder.iterdir()}


def test_a_work_directory(tmp_path, monkeypatch, capsys):
    folder = work_dir(tmp_path / "run", "SSN")
    code, out, _ = run(monkeypatch, capsys, folder)
    assert code == 0
    assert f"{folder}: 3 layers, 2 moments from iteration 0 to 20 of 20" in out
    (line,) = (line for line in out.splitlines() if line.startswith("neck"))
    assert line.split() == ["neck", "1", "0.000", "0.000", "1.000", "0.000", "0.000", "1.000"]
    courses = {"course_of_parts", "course_of_layers", "choices"}
    assert pictures(folder / "ratios") == {"parts", "layers", "divergence", *courses}
    assert f"{folder}/ratios/choices.png: what every layer has chosen" in out


def test_soft_ratios_have_no_picture_of_choices(tmp_path, monkeypatch, capsys):
    folder = work_dir(tmp_path / "run")
    assert run(monkeypatch, capsys, folder, "--axis", "receptive-field")[0] == 0
    assert "choices" not in pictures(folder / "ratios")


def test_a_checkpoint_has_one_moment(tmp_path, monkeypatch, capsys):
    model = torch.nn.ModuleDict({"backbone": normlib.SwitchNorm(4)})
    path = tmp_path / "epoch_3.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {"iter": 30}}, path)
    code, out, _ = run(monkeypatch, capsys, path, "--out", tmp_path / "out")
    assert code == 0
    assert "1 layers, after iteration 30" in out
    assert "note:" in out
    assert "softmax is assumed" in out
    assert pictures(tmp_path / "out") == {"parts", "layers", "divergence"}


def test_several_and_a_comparison(tmp_path, monkeypatch, capsys):
    one, other = work_dir(tmp_path / "one"), work_dir(tmp_path / "other", "SSN")
    out = tmp_path / "out"
    arguments = [one, other, "--compare", one / "ratios.bin", other, "--out", out]
    code, text, _ = run(monkeypatch, capsys, *arguments)
    assert code == 0
    found = pictures(out)
    assert {"parts", "divergence", "one_layers", "other_choices", "comparison"} <= found
    assert "other minus one in 3 layers" in text


def test_a_comparison_is_over_the_axis(tmp_path, monkeypatch, capsys):
    one, other = work_dir(tmp_path / "one"), work_dir(tmp_path / "other", "SSN")
    drawn = []
    for axis in ("depth", "receptive-field"):
        out = tmp_path / axis
        arguments = ["--compare", one, other, "--axis", axis, "--out", out]
        assert run(monkeypatch, capsys, *arguments)[0] == 0
        drawn.append((out / "comparison.png").read_bytes())
    assert drawn[0] != drawn[1]


class TestErrors:
    def check(self, monkeypatch, capsys, *arguments) -> str:
        code, _, err = run(monkeypatch, capsys, *arguments)
        assert code == 2
        assert err.startswith("error: ")
        assert "Traceback" not in err
        return err

    def test_a_path_that_is_not_there(self, tmp_path, monkeypatch, capsys):
        text = self.check(monkeypatch, capsys, tmp_path / "no")
        assert f"{tmp_path}/no does not exist" in text
        text = self.check(monkeypatch, capsys, tmp_path / "no.pth")
        assert "no.pth does not exist" in text

    def test_a_run_without_switchable_norms(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "metrics.json").write_text("{}")
        text = self.check(monkeypatch, capsys, tmp_path)
        assert "has no ratios.bin, which a training of a model with switchable norms" in text
        torch.save({"state_dict": torch.nn.BatchNorm2d(3).state_dict()}, tmp_path / "bn.pth")
        text = self.check(monkeypatch, capsys, tmp_path / "bn.pth")
        assert "bn.pth has no switchable norms" in text

    def test_a_folder_of_runs(self, tmp_path, monkeypatch, capsys):
        work_dir(tmp_path / "one")
        assert f"there is one in {tmp_path}/one" in self.check(monkeypatch, capsys, tmp_path)

    def test_another_file(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "a.json").write_text("{}")
        text = self.check(monkeypatch, capsys, tmp_path / "a.json")
        assert "a.json is no record of ratios" in text

    def test_no_receptive_fields(self, tmp_path, monkeypatch, capsys):
        folder = work_dir(tmp_path / "run", field=None)
        text = self.check(monkeypatch, capsys, folder, "--axis", "receptive-field")
        assert "does not say the receptive field of any layer" in text
        arguments = ["--compare", folder, folder, "--axis", "receptive-field"]
        text = self.check(monkeypatch, capsys, *arguments)
        assert "does not say the receptive field of any layer" in text

    def test_nothing(self, monkeypatch, capsys):
        assert "nothing to draw" in self.check(monkeypatch, capsys)

    def test_matplotlib_is_missing(self, tmp_path, monkeypatch, capsys):
        folder = work_dir(tmp_path / "run")
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert "pip install matplotlib" in self.check(monkeypatch, capsys, folder)

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, monkeypatch, capsys):
        folder = work_dir(tmp_path / "run")
        (tmp_path / "file").write_text("")
        text = self.check(monkeypatch, capsys, folder, "--out", tmp_path / "file")
        assert f"{tmp_path}/file cannot be written to" in text
