"""tools/download_checkpoint.py, as a user calls it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from normlib.checkpoint.released_files import FILES

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / "tools" / "download_checkpoint.py")
NOWHERE = "http://127.0.0.1:9/{id}"


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(TOOL)["main"]


def test_command(tmp_path):
    """Without a network it says where to get the file and where to put it."""
    done = subprocess.run(
        [sys.executable, TOOL, "resnet50_sn_8x2", "--url", NOWHERE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "checkpoints" / "resnet50_sn_8x2.pth") in done.stderr
    assert "https://drive.google.com/file/d/1b0ia4AnSGL__8pAKG-n4w3CSeYCjlNwe/view" in done.stderr


def test_the_list_names_every_file_and_the_licence(main, capsys):
    assert main(["--list"]) == 0
    text = capsys.readouterr().out
    for name in FILES:
        assert name in text
    assert "CC BY-NC 4.0" in text
    assert "box AP 41.01, mask AP 36.12" in text
    for file in FILES.values():
        (line,) = (line for line in text.splitlines() if file.name in line.split()[1:2])
        assert str(file.pixels) in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet51"], "none of the published files"),
        ([], "give NAME, or --list"),
        (["resnet50_sn_8x2", "--url", "http://127.0.0.1:9/"], "{id}"),
    ],
)
def test_unknown_names_and_addresses_are_refused(main, arguments, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert said in capsys.readouterr().err


def test_a_file_that_is_there_is_kept(main, tmp_path, capsys):
    out = tmp_path / "mine.pth"
    out.write_bytes(b"weights")
    assert main(["resnet50_sn_8x2", "--out", str(out), "--url", NOWHERE]) == 0
    assert "is there already" in capsys.readouterr().out
    assert out.read_bytes() == b"weights"
