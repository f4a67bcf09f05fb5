""".dockerignore: all that the images need, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.build_context import Ignore, context

REPO = Path(__file__).parents[2]
FOLDERS = ("configs", "normlib", "tasks", "tools")
FILES = ("LICENSE", "README.md", "pyproject.toml", "requirements.lock", "setup.py")


@pytest.fixture(scope="module")
def project_files() -> list[str]:
    """Every file of the project, as git knows or would take them."""
    if shutil.which("git") is None or not (REPO / ".git").exists():
        pytest.skip("not a checkout of git")
    command = ["git", "-C", REPO, "ls-files", "--cached", "--others", "--exclude-standard"]
    run = subprocess.run(command, text=True, capture_output=True, check=True)
    return sorted({name for name in run.stdout.splitlines() if (REPO / name).is_file()})


def test_lets_in_the_source_and_nothing_else(project_files):
    expected = [name for name in project_files if name in FILES or name.split("/")[0] in FOLDERS]
    assert set(FILES) <= set(expected)
    assert context(REPO, project_files) == expected


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "docker/.env",
        "configs/.env",
        "tools/.netrc",
        "id_rsa",
        "data/imagenet/train/n01440764/1.JPEG",
        "work_dirs/run/epoch_1.pth",
        "weights/hub/checkpoints/resnet50.pth",
        "configs/best.pth",
        "tasks/face/embeddings.npy",
        "normlib/lib/libnormlib_cuda.so",
        "normlib/lib/build.json",
        "normlib/ops/__pycache__/native.cpython-312.pyc",
        "normlib.egg-info/PKG-INFO",
        "tests/conftest.py",
        "dist/normlib-0.1.0.whl",
    ],
)
def test_shuts_out(name):
    assert Ignore((REPO / ".dockerignore").read_text()).shuts_out(name)


def test_project_can_be_installed_from_it(project_files, tmp_path):
    for name in context(REPO, project_files):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, target)
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (info,) = tmp_path.glob("*.egg-info")
    assert (info / "top_level.txt").read_text().split() == ["normlib", "tasks"]
    sources = set((info / "SOURCES.txt").read_text().splitlines())
    for name in project_files:
        if name.startswith(("normlib/", "tasks/")) and name.endswith((".py", ".cu", ".cpp", ".h")):
            assert name in sources
    script = (tmp_path / "tools/install.sh").read_text()
    for pattern in re.findall(r"normlib/csrc/[*/.]+", script):
        assert list(tmp_path.glob(pattern)), pattern


def test_scripts_can_be_started(project_files):
    """The images start them without a shell."""
    for name in context(REPO, project_files):
        if name.startswith("tools/") and name.endswith(".sh"):
            assert (REPO / name).stat().st_mode & 0o111, name
