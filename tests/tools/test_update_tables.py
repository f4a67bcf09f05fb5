"""The README tables: written from the metafile, checked against it, and errors that teach."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.results import BEGIN, END, MetafileError, read_metafile, render_tables, update_readmes

ROOT = Path(__file__).resolve().parents[2]
METAFILE = """
Collections:
- {Name: Boxes, Setting: 8 GPUs}
Discrepancies: {d1: "the paper says 40.0, the code 39.0"}
Models:
- Name: one
  In Collection: Boxes
  Config: configs/toy/one.py
  Metadata: {Norm: SN, Epochs: 12}
  Published: {Source: paper, Metrics: {box AP: 40.0, box AP50: 60.0}, Discrepancies: [d1]}
  Results:
  - {Task: Object Detection, Dataset: COCO, Metrics: {box AP: 39.25}}
- Name: two
  In Collection: Boxes
  Config: configs/toy/two.py
  Metadata: {Norm: A | B, Epochs: 24}
  Results: []
"""


@pytest.fixture
def task(tmp_path) -> Path:
    (tmp_path / "metafile.yml").write_text(METAFILE)
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\n{END}\n\nThe rest.\n")
    return tmp_path


def run_tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "update_tables.py", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )


def test_a_collection_can_measure_other_metrics_than_are_published(tmp_path):
    path = tmp_path / "metafile.yml"
    measures = "{Name: Boxes, Setting: 8 GPUs, Measures: [top-1, top-5]}"
    text = METAFILE.replace("{Name: Boxes, Setting: 8 GPUs}", measures)
    path.write_text(text.replace("{box AP: 39.25}", "{top-1: 39.25}"))
    lines = [line.split(" | ") for line in render_tables(read_metafile(path)).splitlines()]
    (title,) = [cells for cells in lines if cells[0] == "| Config"]
    assert title[3:] == ["published box AP", "source", "measured top-1", "measured top-5 |"]
    (one,) = [cells for cells in lines if cells[0].startswith("| [one]")]
    assert one[3:] == ["40.0", "paper; d1", "39.25", "not measured |"]


@pytest.mark.parametrize(
    ("given", "read"), [("50000", (50_000, 50_000)), ("[18000, 20000]", (18_000, 20_000))]
)
def test_how_many_samples_a_test_set_has(task, given, read):
    path = task / "metafile.yml"
    metadata = f"8 GPUs, Metadata: {{Test Data: val, Test Samples: {given}}}"
    path.write_text(METAFILE.replace("8 GPUs", metadata))
    assert read_metafile(path).collections[0].test_samples == read
    path.write_text(METAFILE)
    assert read_metafile(path).collections[0].test_samples is None


def test_rows_that_evaluate_released_weights_say_so(task):
    path = task / "metafile.yml"
    path.write_text(METAFILE.replace("one.py\n", "one.py\n  Evaluation Only: true\n"))
    assert [model.evaluation_only for model in read_metafile(path).models] == [True, False]


def test_tables_of_this_repository_are_up_to_date():
    result = run_tool("--check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_check_reports_drift_and_writes_nothing(task):
    before = (task / "README.md").read_text()
    result = run_tool("--check", task / "metafile.yml")
    assert result.returncode == 1
    assert f"{task / 'README.md'}: out of date" in result.stdout
    assert (task / "README.md").read_text() == before


def test_writing_is_idempotent_and_keeps_the_rest(task):
    assert run_tool(task / "metafile.yml").returncode == 0
    written = (task / "README.md").read_text()
    assert written.startswith("# Title\n\n")
    assert written.endswith(f"{END}\n\nThe rest.\n")
    assert run_tool("--check", task / "metafile.yml").returncode == 0
    assert update_readmes([task / "metafile.yml"], write=True) == []


def test_table_keeps_published_and_measured_apart(task):
    lines = render_tables(read_metafile(task / "metafile.yml")).splitlines()
    title = "| Config | Norm | Epochs | published box AP | source | measured box AP |"
    assert lines[:5] == ["### Boxes", "", "8 GPUs", "", title]
    assert lines[6:8] == [
        "| [one](../../configs/toy/one.py) | SN | 12 | 40.0 | paper; d1 | 39.25 |",
        "| [two](../../configs/toy/two.py) | A \\| B | 24 |  | none published | not measured |",
    ]
    assert lines[-1] == "- d1: the paper says 40.0, the code 39.0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Name: two", "Name: one", "one is listed twice"),
        ("Boxes, Setting", "Masks, Setting", r"'Boxes', which is none of \['Masks'\]"),
        ("Discrepancies: [d1]", "Discrepancies: [d2]", "note 'd2'"),
        ("Source: paper, ", "", "'Published' of one has no 'Source'"),
        ("  Results: []\n", "", "two has no 'Results'"),
        ("- {Name: Boxes", "- {Name: [", "not YAML"),
        ("8 GPUs", "8 GPUs, Metadata: {Test Samples: many}", "'Test Samples' of Boxes is 'many'"),
        ("8 GPUs", "8 GPUs, Metadata: {Test Samples: [2, 1]}", r"Boxes is \[2, 1\]; it must be"),
        ("one.py\n", "one.py\n  Evaluation Only: 1\n", "'Evaluation Only' of one is 1; it must be"),
    ],
)
def test_bad_metafile_is_an_error_that_names_the_file(task, old, new, message):
    path = task / "metafile.yml"
    assert old in METAFILE
    path.write_text(METAFILE.replace(old, new))
    with pytest.raises(MetafileError, match=message) as error:
        read_metafile(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", [f"{END}\n{BEGIN}\n", f"{BEGIN}\n", f"{BEGIN}\n{END}\n{END}\n"])
def test_readme_without_both_markers_is_left_alone(task, text):
    (task / "README.md").write_text(text)
    result = run_tool(task / "metafile.yml")
    assert result.returncode == 2
    assert str(task / "README.md") in result.stderr
    assert BEGIN in result.stderr
    assert (task / "README.md").read_text() == text


def test_missing_files_are_named(task):
    (task / "README.md").unlink()
    assert str(task / "README.md") in run_tool(task / "metafile.yml").stderr
    result = run_tool(task / "absent.yml")
    assert result.returncode == 2
    assert f"error: {task / 'absent.yml'}: cannot be read" in result.stderr


def test_an_error_in_one_metafile_leaves_every_readme_as_it_was(task):
    before = (task / "README.md").read_text()
    with pytest.raises(MetafileError):
        update_readmes([task / "metafile.yml", task / "absent.yml"], write=True)
    assert (task / "README.md").read_text() == before
