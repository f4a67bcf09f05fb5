"""compose.yaml: fits the published schema, and names what there is."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.docker import dockerfile

REPO = Path(__file__).parents[2]
FILE = REPO / "docker/compose.yaml"
SPECIFICATION = jsonschema.Draft202012Validator(
    json.loads(Path(__file__).with_name("compose_spec.json").read_text())
)


def filled(value: Any) -> Any:
    """With the defaults of ``${NAME:-DEFAULT}``, as Compose reads it without an environment."""
    if isinstance(value, dict):
        return {key: filled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one) for one in value]
    if isinstance(value, str):
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        assert "$" not in text, f"a variable without default: {value}"
        return text
    return value


@pytest.fixture
def compose() -> dict[str, Any]:
    return filled(yaml.safe_load(FILE.read_text()))


def images(compose: dict[str, Any]) -> dict[str, dockerfile.Dockerfile]:
    """The Dockerfile of every image that is built."""
    found = {}
    for service in compose["services"].values():
        if "build" in service:
            build = service["build"]
            path = FILE.parent / build["context"] / build["dockerfile"]
            found[service["image"]] = dockerfile.read(path.resolve())
    return found


def test_fits_the_specification(compose):
    SPECIFICATION.validate(compose)
    SPECIFICATION.validate(yaml.safe_load(FILE.read_text()))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("stop_graceperiod",), "6m"),
        (("command",), 3),
        (("build", "docker_file"), "Dockerfile"),
        (("deploy", "resources", "reservations", "devices", 0, "capabilities"), "gpu"),
        (("volumes", 0, "readonly"), True),
    ],
)
def test_specification_refuses(compose, keys, value):
    broken = copy.deepcopy(compose)
    *way, last = keys
    place = broken["services"]["train"]
    for key in way:
        place = place[key]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        SPECIFICATION.validate(broken)


def test_services(compose):
    assert set(compose["services"]) == {"train", "ngc", "cpu", "shell", "toy-data"}
    unprofiled = [name for name, one in compose["services"].items() if not one.get("profiles")]
    assert unprofiled == ["train"]


def test_images_are_built_from_the_repository(compose):
    built = images(compose)
    assert set(built) == {"normlib:cuda", "normlib:ngc", "normlib:cpu"}
    for service in compose["services"].values():
        assert service["image"] in built
        if "build" in service:
            assert (FILE.parent / service["build"]["context"]).resolve() == REPO
            arguments = {
                name for one in built[service["image"]].every("ARG") for name in one.assignments()
            }
            assert set(service["build"]["args"]) <= arguments


def test_commands_name_files_that_exist(compose):
    for name, service in compose["services"].items():
        for word in service["command"]:
            if word.startswith(("tools/", "configs/")):
                assert (REPO / word).is_file(), f"{name}: {word}"


def test_mounts(compose):
    for name, service in compose["services"].items():
        image = images(compose)[service["image"]].stages[-1]
        work_dir, home = image.last("WORKDIR").text, "/home/normlib"
        targets = {volume["target"]: volume for volume in service["volumes"]}
        assert len(targets) == len(service["volumes"])
        for target, volume in targets.items():
            assert target.startswith((f"{work_dir}/", f"{home}/")), f"{name}: {target}"
            source = (FILE.parent / volume["source"]).resolve()
            assert source.parent == REPO, f"{name}: {source}"
            assert volume["bind"]["create_host_path"] is False, "Docker would make it root's"
        data = targets[f"{work_dir}/data"]
        assert data.get("read_only") is (name != "toy-data")


def test_folders_of_the_host_are_made_first(compose):
    (line,) = re.findall(r"mkdir -p (.*)", FILE.read_text())
    sources = {
        Path(volume["source"]).name
        for service in compose["services"].values()
        for volume in service["volumes"]
    }
    assert set(line.split()) == sources


def test_nobody_is_root(compose):
    for service in compose["services"].values():
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
        assert service["cap_drop"] == ["ALL"]
        assert "privileged" not in service


def test_time_for_a_checkpoint(compose):
    """Docker must not kill before the launcher has given up waiting."""
    (launcher,) = re.findall(
        r"STOP_SECONDS=\$\{STOP_SECONDS:-(\d+)\}", (REPO / "tools/dist_run.sh").read_text()
    )
    for service in compose["services"].values():
        assert service["environment"]["STOP_SECONDS"] == launcher
        minutes = re.fullmatch(r"(\d+)m", service["stop_grace_period"])
        assert minutes
        assert int(minutes[1]) * 60 > int(launcher)


def test_shared_memory_and_resume(compose):
    for name in ("train", "ngc", "cpu"):
        service = compose["services"][name]
        assert int(service["shm_size"].removesuffix("gb")) >= 8
        assert service["command"][-1] == "--resume"
    for name in ("train", "ngc", "shell"):
        (device,) = compose["services"][name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
