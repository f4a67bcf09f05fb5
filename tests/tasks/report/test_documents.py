"""The page and the Markdown: the same figures, whole in themselves, and text from files escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tasks.report import ReportError, write_report
from tests.tasks.report.conftest import HOSTILE
from tests.tasks.report.work_dirs import write_run, write_scalars

VOID = ("meta", "link", "img", "input", "br")


class Page(HTMLParser):
    """What a page consists of: elements, ids, references, and the text of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def values(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def page(demo) -> Page:
    return Page(demo.html.read_text())


def test_every_element_is_closed_and_every_id_is_used_once(page):
    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert [link for link in page.values("href") if link.lstrip("#") not in ids] == []


def test_nothing_outside_the_page_is_referred_to(demo, page):
    for name in ("src", "href", "xlink:href", "action", "data"):
        assert all(value.startswith("#") for value in page.values(name))
    text = demo.html.read_text()
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text


def test_text_from_files_is_no_markup(demo, page):
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "img" not in [tag for tag, _ in page.elements]
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    assert any(HOSTILE in cell for table in page.tables for row in table for cell in row)
    assert "<script" not in demo.markdown.read_text()
    assert "<img" not in demo.markdown.read_text()


def test_a_broken_folder_with_a_hostile_name_is_skipped(demo):
    (line,) = demo.skipped
    assert line.startswith("<script>")
    assert line.endswith("half written or damaged")


def test_markdown_has_the_figures_of_the_page(demo, page):
    lines = [line for line in demo.markdown.read_text().splitlines() if line.startswith("|")]
    of_page = [row for table in page.tables for row in table]
    of_text = [row for row in lines if not row.startswith("| ---")]
    assert len(of_page) == len(of_text)
    for cells, line in zip(of_page, of_text, strict=True):
        for figure in re.findall(r"[+−]?\d+\.\d+(?: ± \d+\.\d+)?", " ".join(cells)):
            assert figure in line
    assert "**28.50 ± 1.87**" in demo.markdown.read_text()


def test_a_pipe_in_a_name_does_not_split_a_cell_of_markdown(demo):
    rows = [line for line in demo.markdown.read_text().splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert widths == {10, 14}  # of the differences and of the results


def test_the_banner_counts_generated_and_incomplete_runs(demo):
    for text in (demo.html.read_text(), demo.markdown.read_text().replace("\\", "")):
        assert "Generated data: 21 of 21 runs." in text
        assert "Incomplete: 1 of 21 runs." in text


def test_pictures_have_a_name_and_take_the_colour_of_the_text(demo):
    pictures = re.findall(r"<svg.*?</svg>", demo.html.read_text(), re.DOTALL)
    names = [re.search(r'aria-label="([^"]*)"', picture)[1] for picture in pictures]
    assert "detection: Loss and box AP over iterations" in names
    assert any("what each layer has chosen" in name for name in names)
    assert all("currentColor" in picture for picture in pictures)


def test_ratios_that_cannot_be_read_are_told_and_the_report_is_written(tmp_path):
    run = write_run(tmp_path, "detection", "SN", 0, 25.0)
    (run / "ratios.bin").write_bytes(b"foreign")
    report = write_report([tmp_path], tmp_path)
    (line,) = report.skipped
    assert line.startswith("faster-rcnn_r18_fpn_toy_sn_0: its ratios are not drawn: ")
    assert line[:40] in report.html.read_text()
    assert line[:30].replace("_", r"\_") in report.markdown.read_text()


def test_the_same_runs_give_the_same_page(tmp_path):
    write_scalars(write_run(tmp_path / "runs", "detection", "SN", 0, 25.0), {10: 1.0})
    texts = [
        write_report([tmp_path / "runs"], tmp_path / name).html.read_bytes() for name in ("a", "b")
    ]
    assert texts[0] == texts[1]


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    write_run(tmp_path / "runs", "detection", "SN", 0, 25.0)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ReportError, match=r"out cannot be written to: "):
        write_report([tmp_path / "runs"], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


def test_nothing_but_the_two_files_is_left(demo):
    names = sorted(path.name for path in demo.html.parent.iterdir())
    assert names == ["report.html", "report.md"]
    assert demo.rows == 6
    assert [str(table.title) for table in demo.tables] == ["Classification", "Detection"]
