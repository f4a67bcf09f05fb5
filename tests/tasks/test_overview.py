"""The table of the root README."""

from __future__ import annotations

import pytest

from tasks.overview import BEGIN, END, read_overview, render_overview, updated_root_readme
from tasks.results import MetafileError

METAFILE = """
Collections:
- {Name: Boxes}
Models:
- Name: one
  In Collection: Boxes
  Config: configs/one.py
  Metadata: {Norm: BN}
  Published: {Source: paper, Metrics: {box AP: 40.0}}
  Results: []
- Name: two
  In Collection: Boxes
  Config: configs/two.py
  Metadata: {Norm: SN}
  Published: {Source: paper, Metrics: {box AP: 41.25}}
  Results:
  - {Metrics: {box AP: 40.5}}
"""
OVERVIEW = """
- {Setting: COCO, Task: detection, Metric: box AP, Models: {BN: one, SN: two}}
- {Setting: COCO without BN, Task: detection, Metric: box AP, Models: {SN: two}}
"""


@pytest.fixture
def tasks(tmp_path):
    (tmp_path / "detection").mkdir()
    (tmp_path / "detection/metafile.yml").write_text(METAFILE)
    (tmp_path / "overview.yml").write_text(OVERVIEW)
    return tmp_path


def test_published_and_measured_figures_have_columns_of_their_own(tasks):
    lines = render_overview(read_overview(tasks / "overview.yml")).splitlines()
    link = "tasks/detection/README.md"
    assert lines == [
        "| setting | metric | published BN | published SN | measured |",
        "| --- | --- | ---: | ---: | --- |",
        f"| [COCO]({link}) | box AP | 40.0 | 41.25 | SN 40.5 |",
        f"| [COCO without BN]({link}) | box AP |  | 41.25 | SN 40.5 |",
    ]


def test_without_measurements_it_says_so(tasks):
    (tasks / "overview.yml").write_text(
        "- {Setting: A, Task: detection, Metric: box AP, Models: {BN: one}}"
    )
    assert "| not measured |" in render_overview(read_overview(tasks / "overview.yml"))


def test_the_readme_around_it_stays(tasks):
    readme = tasks / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe rest.\n")
    text = updated_root_readme(tasks / "overview.yml", readme)
    assert text.startswith("# Title\n")
    assert text.endswith("The rest.\n")
    assert "old" not in text
    readme.write_text("no markers")
    with pytest.raises(MetafileError, match="needs the two lines"):
        updated_root_readme(tasks / "overview.yml", readme)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("BN: one", "BN: three"), r"three is not in tasks/detection/metafile\.yml"),
        (("BN: one", "XN: one"), "norm 'XN' of COCO; norms are"),
        (("Metric: box AP", "Metric: mask AP"), "no mask AP is published for one"),
        (("Metric: box AP, ", ""), r"COCO has no \['Metric'\]"),
    ],
)
def test_what_no_metafile_has(tasks, change, words):
    (tasks / "overview.yml").write_text(OVERVIEW.replace(*change, 1))
    with pytest.raises(MetafileError, match=words):
        read_overview(tasks / "overview.yml")
