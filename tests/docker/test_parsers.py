"""The readers that the other tests of this folder rely on."""

from __future__ import annotations

import pytest

from tests.docker import dockerfile
from tests.docker.build_context import Ignore


def test_dockerfile():
    file = dockerfile.parse(
        "# a comment\n"
        "ARG BASE=python:3.12\n"
        "FROM ${BASE} AS first\n"
        "RUN --mount=type=cache,target=/x a \\\n"
        "    # between\n"
        "    && b\n"
        "from $BASE\n"
        "COPY --from=first --chown=1:1 /a /b ./\n"
        'CMD ["a", "b c"]\n'
        'ENV A=1 B="two words"\n'
    )
    assert [(stage.base, stage.name) for stage in file.stages] == [
        ("python:3.12", "first"),
        ("python:3.12", ""),
    ]
    (run,) = file.stages[0].instructions
    assert (run.text, run.flags, run.line) == ("a && b", {"mount": "type=cache,target=/x"}, 4)
    copy, cmd, env = file.stages[1].instructions
    assert copy.flags == {"from": "first", "chown": "1:1"}
    assert copy.words() == ["/a", "/b", "./"]
    assert cmd.is_exec_form()
    assert cmd.words() == ["a", "b c"]
    assert env.assignments() == {"A": "1", "B": "two words"}


@pytest.mark.parametrize("text", ["RUN a", "FROM", "FROM a\nRUN a \\", "FROM a AS"])
def test_broken_dockerfile(text):
    with pytest.raises(ValueError, match="Dockerfile, line"):
        dockerfile.parse(text)


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("top", True),
        ("other/deep/file.py", True),
        ("kept/file.py", False),
        ("kept/deep/file.py", False),
        ("kept/deep/old.bin", True),
        ("kept.bin", True),
        ("kept/x1", True),
        ("kept/y/x1", False),
        ("kept/.hidden/file.py", True),
        ("kept/a.b/file.py", False),
        ("keptish/file.py", True),
    ],
)
def test_dockerignore(path, out):
    ignore = Ignore("*\n# a comment\n!kept\n\n**/*.bin\nkept/x?\n**/.*\n")
    assert ignore.shuts_out(path) is out
