from __future__ import annotations

from pathlib import Path

import pytest

from tasks.segmentation.datasets.object_info import check_object_info


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a, x", "b"], None),
        (["x , A", "B"], None),
        (["a", "c"], "2 objects, the class list 2; they first differ at number 2: 'c' there, 'b'"),
        (["a"], "1 objects, the class list 2; they first differ at number 2: None there, 'b' in"),
        (["a", "b", "c"], "3 objects, the class list 2; they first differ at number 3: 'c' there"),
        ([], "has no line of the form 'Idx Ratio Train Val Name'"),
    ],
)
def test_number_and_order(tmp_path: Path, lines: list[str], message: str | None) -> None:
    rows = [f"{n}\t0.5000\t{n}1\t22\t{name}\n" for n, name in enumerate(lines, 1)]
    path = tmp_path / "objectInfo150.txt"
    path.write_text("".join(["Idx\tRatio\tTrain\tVal\tName\n", *rows]))
    problems = [problem.text for problem in check_object_info(str(path), ("a", "b"))]
    assert len(problems) == (message is not None)
    assert all(message in text for text in problems)
