from __future__ import annotations

import json

import pytest

from tasks.data_checks import DatasetError
from tasks.face.evaluation.megaface.lists import (
    read_distractor_list,
    read_noises,
    read_probe_list,
)
from tasks.face.evaluation.megaface.names import find_rows, find_some


def test_lists_of_the_devkit(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"id": ["Al", "Bo"], "path": ["Al/1.png", "Bo/1.png"]}))
    listed = read_probe_list(path)
    assert (listed.people, listed.names) == (["Al", "Bo"], ["Al/1.png", "Bo/1.png"])
    assert read_distractor_list(path) == ["Al/1.png", "Bo/1.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"is not JSON: .* it has to be \{\"id\": \[...\], \"path\": \[...\]\}"),
        ("[1]", "holds list; it has to be"),
        ('{"path": ["a"]}', r"has no list 'id', only \['path'\]"),
        ('{"id": [], "path": []}', "'id' is empty"),
        ('{"id": ["a"], "path": ["a", "b"]}', "'id' has 1 entries, 'path' 2; they belong"),
        ('{"id": ["a"], "path": [7]}', "entry 0 of 'path' is 7; it has to be text"),
    ],
)
def test_lists_of_another_form(tmp_path, content, message):
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=rf"list.json.* {message}"):
        read_probe_list(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DatasetError, match=r"absent.json cannot be read"):
        read_distractor_list(tmp_path / "absent.json")
    (tmp_path / "noises.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"noises.txt cannot be read"):
        read_noises(tmp_path / "noises.txt")


def test_noises(tmp_path):
    path = tmp_path / "noises.txt"
    path.write_text("# made by\nAl_Pacino_1234.jpg\n\n7\t100/10@N00/a b.jpg\n8\tc/d/e.jpg  \n")
    assert read_noises(path) == ["Al_Pacino_1234.jpg", "100/10@N00/a b.jpg", "c/d/e.jpg"]
    path.write_text("# nothing\n")
    with pytest.raises(DatasetError, match=r"noises.txt lists no image; leave the option out"):
        read_noises(path)


NAMES = ["set/a/1.jpg", "set/b/1.jpg", "set/b/Al Pacino_2.png", "cover.jpg"]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (["b/1.jpg", "a/1.jpg"], [1, 0]),  # from a folder further down
        (["root/set/b/1.png", "root/set/a/1.JPG"], [1, 0]),  # from one further up, other suffixes
        (["Al_Pacino_2.jpg"], [2]),
        (["b/Al_Pacino_2.0.jpg", "b/1.jpg"], None),
    ],
)
def test_rows_of_names(wanted, rows):
    if rows is None:
        with pytest.raises(DatasetError, match="1 of 2 images are not in d, the first are b/Al_P"):
            find_rows(wanted, "list", NAMES, "d")
    else:
        assert find_rows(wanted, "list", NAMES, "d").tolist() == rows


def test_names_that_say_too_little():
    with pytest.raises(DatasetError, match=r"d: rows 0 and 1, set/a/1.jpg and set/b/1.jpg, are"):
        find_rows(["1.jpg"], "list", NAMES, "d")
    with pytest.raises(DatasetError, match=r"list: entry 1, b/1.png, is listed before"):
        find_rows(["b/1.jpg", "b/1.png"], "list", NAMES, "d")


def test_missing_names_are_counted():
    with pytest.raises(DatasetError) as error:
        find_rows([f"b/{number}.jpg" for number in range(1, 1500)], "list.json", NAMES, "d")
    assert str(error.value) == (
        "list.json: 1,498 of 1,499 images are not in d, the first are b/2.jpg, b/3.jpg, b/4.jpg; "
        "there they are called like set/a/1.jpg"
    )


def test_those_that_there_are():
    assert find_some(["b/1.jpg", "x/1.jpg", "a/1.jpg"], "noises", NAMES, "d").tolist() == [0, 1]
    with pytest.raises(DatasetError, match=r"noises: none of its 1 images, such as x/1.jpg, is in"):
        find_some(["x/1.jpg"], "noises", NAMES, "d")
