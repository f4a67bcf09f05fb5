"""tools/test_megaface.py, as a user calls it."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.processes import running

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "test_megaface.py"
DIM = 32


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> Callable[..., Done]:
    """Runs the command in `tmp_path`, in this process."""

    def run(*arguments: object, environment: Mapping[str, str] | None = None) -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("RANK", raising=False)
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        return Done(end.value.code, *capsys.readouterr())

    return run


def write_folder(path: Path, names: list[str], embeddings: np.ndarray) -> None:
    path.mkdir()
    embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.save(path / "embeddings.npy", embeddings.astype(np.float32))
    (path / "names.txt").write_text("".join(f"{name}\n" for name in names))
    (path / "about.json").write_text("{}")


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Four images of each of five people, one of which is noisy; a distractor that is one of them.

    `p0/3.jpg` is noise, and `9/9/9.jpg` nearly the same as `p1/0.jpg`.
    """
    random = np.random.default_rng(0)
    people = random.normal(size=(5, DIM)).repeat(4, axis=0)
    probes = people + 0.05 * random.normal(size=people.shape)
    distractors = random.normal(size=(40, DIM))
    probes[3] = random.normal(size=DIM)
    distractors[9] = probes[4] + 0.001 * random.normal(size=DIM)
    paths = tmp_path / "probes", tmp_path / "distractors"
    write_folder(paths[0], [f"p{row // 4}/{row % 4}.jpg" for row in range(20)], probes)
    write_folder(paths[1], [f"{row}/{row}/{row}.jpg" for row in range(40)], distractors)
    (tmp_path / "fs.txt").write_text("# noisy\np0/3.png\nelse/1.png\n")
    (tmp_path / "mf.txt").write_text("7\t9/9/9.jpg\n")
    return paths


NOISES = ("--facescrub-noises", "fs.txt", "--megaface-noises", "mf.txt")


def test_both_protocols(command, folders, tmp_path):
    done = command(*folders, *NOISES, "--fars", "0.1", "0.01", "--sizes", "5", "40")
    assert done.status == 0, done.err
    assert done.out.startswith("people 5, probes 20, distractors 40, replaced probes 1, excluded")
    assert done.out.endswith("written: work_dirs/megaface/results.json\n")
    results = json.loads((tmp_path / "work_dirs/megaface/results.json").read_text())
    five, forty = results["sets"]["all"]
    assert (five["distractors"], five["impostor_pairs"], five["genuine_pairs"]) == (5, 100, 60)
    assert forty["cmc"]["1"] * 60 <= 60 - 3 - 6  # p1/0 matches the distractor, p0/3 anything
    assert results["metrics"]["rank1"] == 100 * forty["cmc"]["1"]
    assert results["metrics"]["rank1_cleaned"] == 100
    assert results["metrics"]["tar@far=1e-02_cleaned"] == 100
    assert [entry["distractors"] for entry in results["sets"]["cleaned"]] == [5, 39]
    title, _, *rows = done.out.splitlines()[1:-2]
    assert title.split()[2:] == ["distractors", "rank1", "rank10", "tar@far=1e-01", "tar@far=1e-02"]
    assert len(rows) == 4
    assert rows[-1].split() == ["cleaned", "first", "39", *["100.00"] * 4]


def test_lists_choose(command, folders, tmp_path):
    listed = {"id": ["x", "x", "y", "y"], "path": ["p0/0", "p0/1", "p2/0", "p2/1"]}
    (tmp_path / "probes.json").write_text(json.dumps(listed))
    for number, rows in enumerate([[1, 2], [3, 4], [2, 1, 8, 7]]):
        text = json.dumps({"path": [f"MegaFace/{row}/{row}/{row}.jpg" for row in rows]})
        (tmp_path / f"list.json_{number}").write_text(text)
    lists = ("--distractor-list", *(f"list.json_{number}" for number in range(3)))
    done = command(*folders, "--probe-list", "probes.json", *lists, "--out", "here")
    assert done.status == 0, done.err
    results = json.loads((tmp_path / "here" / "results.json").read_text())
    (protocol,) = results["sets"].values()
    assert [(entry["name"], entry["size"]) for entry in protocol] == [
        ("0", 2),
        ("1", 2),
        ("2", 4),
    ]
    assert results["about"]["probes"] == 4
    assert results["metrics"] == {"rank1": 100}  # 16 impostor pairs are too few for the FARs


def test_mistakes(command, folders, tmp_path):
    probes, distractors = folders
    for arguments, message in [
        ((probes, tmp_path / "absent"), "absent is not a folder"),
        ((probes, distractors, "--sizes", "41"), "41 distractors are asked for"),
        ((probes, distractors, "--probe-list", "no.json"), "no.json cannot be read"),
        (
            (probes, distractors, "--sizes", "1", "--distractor-list", "a", "b"),
            "sizes [1] are asked for of 2 distractor lists",
        ),
        ((probes, distractors, "--fars", "0"), "'0' is not a share above 0"),
        ((probes, distractors, "--facescrub-noises", "mf.txt"), "none of its 1 images"),
        ((probes, distractors, "--out", "mf.txt/x"), "mf.txt/x cannot be made for results.json"),
    ]:
        done = command(*arguments)
        assert done.status == 2
        assert message in done.err
        assert done.out == ""
    assert not list(tmp_path.rglob("results.json"))


def test_processes_on_the_cpu_of_a_machine_with_a_gpu(command, folders, monkeypatch):
    opened = []
    monkeypatch.setattr("normlib.openmmlab.processes.get_device", lambda: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("tasks.face.evaluation.megaface.run.open_group", opened.append)
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    options = ("--launcher", "pytorch", "--device", "cpu")
    done = command(*folders, *options, environment=place)
    assert (done.status, opened) == (0, ["pytorch"]), done.err


@pytest.mark.slow
def test_two_processes(command, folders, tmp_path):
    options = (*NOISES, "--fars", "0.1", "0.01")
    assert command(*folders, *options, "--out", "one").status == 0
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    launched = ("--launcher", "pytorch", "--device", "cpu")
    with running(
        [sys.executable, *torchrun, TOOL, *folders, *options, "--out", "two", *launched],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    assert out.count("written: ") == 1
    one, two = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two")
    )
    assert one == two
