"""tools/install.sh, with stand-ins for Python, pip and df: nothing is downloaded or installed."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

REPO = Path(__file__).parents[2]

# Answers the questions that install.sh asks an interpreter; `-m venv DIR` copies it into DIR.
PYTHON_STUB = r"""#!/bin/bash
version=$(cat "$0.version")
lacks() { [[ " ${STUB_LACKS:-} " == *" $1 "* ]]; }
case "$*" in
  *version_info*) echo "$version" ;;
  *"from ensurepip import"*) ! lacks ensurepip ;;
  *"from pip import"*) ! lacks pip ;;
  *pip.__path__*) echo /stub/site-packages ;;
  *ctypes*) ! lacks libGL || echo "libGL.so.1: cannot open shared object file" ;;
  *"import cv2"*)
    if lacks cv2; then
      echo "ImportError: libGL.so.1: cannot open shared object file: No such file or directory" >&2
      exit 1
    fi ;;
  *'version("torch")'*) cat "$0.torch" 2>/dev/null ;;
  *"import torch, torchvision"*)
    if lacks torchvision; then
      echo "RuntimeError: operator torchvision::nms does not exist" >&2
      exit 1
    fi ;;
  *torch.version.cuda*) echo "${STUB_CUDA:-None}" ;;
  *build.json*) echo "kernels: ${STUB_KERNELS:-}" ;;
  "-m venv "*)
    folder=${!#}
    site=$folder/lib/python$version/site-packages
    mkdir -p "$folder/bin" "$site"
    [[ "$*" == *--without-pip* ]] || mkdir "$site/pip"
    echo "include-system-site-packages = false" >"$folder/pyvenv.cfg"
    cp "$0" "$folder/bin/python"
    cp "$0.version" "$folder/bin/python.version"
    [[ ! -e "$0.torch" ]] || cp "$0.torch" "$folder/bin/python.torch" ;;
  "-m pip install "*)
    echo "$* cache=${PIP_NO_CACHE_DIR:-on}" >>"$STUB_CALLS"
    mkdir -p "$(dirname "$0")/../lib/python$version/site-packages/pip"
    [[ -z ${STUB_PIP_TORCH:-} ]] || echo "$STUB_PIP_TORCH" >"$0.torch"
    [[ "$*" != *"-e ."* ]] || { mkdir -p normlib/lib && touch normlib/lib/build.json; }
    echo "${STUB_PIP_SAYS:-}"
    exit "${STUB_PIP_STATUS:-0}" ;;
  *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""

DF_STUB = r"""#!/bin/bash
free=$((STUB_FREE_MB * 1024)) mount=/
if [[ ${!#} == */other-disk* ]]; then free=$((STUB_OTHER_FREE_MB * 1024)) mount=/other-disk; fi
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
echo "/dev/stub 999999999 0 $free 1% $mount"
"""

COMMANDS = "awk bash cat cksum cp cut dirname du grep ls mkdir mktemp rm sed seq tee touch tr"


class Machine:
    """A copy of the project on a machine that has only stand-ins for Python and df."""

    def __init__(self, root: Path):
        self.project = root / "project"
        (self.project / "tools").mkdir(parents=True)
        for name in ("tools/install.sh", "pyproject.toml", "requirements.lock", "setup.py"):
            shutil.copy(REPO / name, self.project / name)
        shutil.copytree(REPO / "normlib/csrc", self.project / "normlib/csrc")
        self.bin = root / "bin"
        self.bin.mkdir()
        for name in COMMANDS.split():
            (self.bin / name).symlink_to(shutil.which(name))
        self._command("df", DF_STUB)
        self.calls = root / "calls"
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(root / "home"),
            "STUB_CALLS": str(self.calls),
            "STUB_FREE_MB": "100000",
        }

    def _command(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def add_python(self, version: str, name: str = "python3", torch: str = "") -> Path:
        (self.bin / f"{name}.version").write_text(version)
        if torch:
            (self.bin / f"{name}.torch").write_text(f"{torch} /system/torch/__init__.py\n")
        return self._command(name, PYTHON_STUB)

    def install(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.project / "tools/install.sh", *arguments],
            env=self.environment | environment,
            cwd="/",
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )

    @property
    def venv(self) -> Path:
        return self.project / ".venv"

    def pip_calls(self) -> list[str]:
        """What pip was asked to install since the last question."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        found = []
        for line in lines:
            for what, pattern in (("lock", "-r requirements.lock"), ("project", "-e .")):
                if pattern in line:
                    found.append(what)
                    break
            else:
                found.append(line)
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.add_python("3.11")
    run = machine.install()
    assert run.returncode == 0, run.stderr
    assert machine.pip_calls() == ["lock", "project"]
    return machine


def assert_refused(run: subprocess.CompletedProcess[str], machine: Machine, *texts: str) -> None:
    assert run.returncode == 1
    for text in texts:
        assert text in run.stderr
    assert machine.pip_calls() == []
    assert not machine.venv.exists()


@pytest.mark.parametrize(
    ("version", "verdict"), [("2.7", "too old"), ("3.9", "too old"), ("3.14", "too new")]
)
@pytest.mark.parametrize("named", [False, True])
def test_python_outside_the_range(machine, version, verdict, named):
    python = machine.add_python(version)
    run = machine.install(**({"PYTHON": str(python)} if named else {}))
    assert_refused(run, machine, f"is Python {version}, {verdict}", "3.10 to 3.13", "PYTHON=")


def test_no_python(machine):
    assert_refused(machine.install(), machine, "no python3 was found", "3.10 to 3.13")


def test_named_python_does_not_exist(machine):
    machine.add_python("3.11")
    run = machine.install(PYTHON="/nowhere/python3")
    assert_refused(run, machine, "PYTHON=/nowhere/python3 does not run")


def test_supported_python_is_found_behind_an_unsupported_one(machine):
    machine.add_python("3.14")
    machine.add_python("3.12", name="python3.12")
    run = machine.install()
    assert run.returncode == 0, run.stderr
    assert (machine.venv / "bin/python.version").read_text() == "3.12"


def test_missing_venv(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_LACKS="ensurepip pip")
    assert_refused(run, machine, "apt-get install -y python3-venv\n")


def test_missing_venv_of_a_versioned_python(machine):
    python = machine.add_python("3.12", name="python3.12")
    run = machine.install(STUB_LACKS="ensurepip pip", PYTHON=str(python))
    assert_refused(run, machine, "apt-get install -y python3.12-venv\n")


def test_pip_of_the_system_replaces_a_missing_ensurepip(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_LACKS="ensurepip")
    assert run.returncode == 0, run.stderr
    bootstrap, *rest = machine.pip_calls()
    assert "--ignore-installed pip" in bootstrap
    assert rest == ["lock", "project"]


def test_missing_library_is_noticed_before_the_download(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_LACKS="libGL")
    assert_refused(run, machine, "libGL.so.1", "apt-get install -y libgl1 libglib2.0-0\n")


def test_everything_the_system_lacks_in_one_command(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_LACKS="ensurepip pip libGL")
    assert_refused(run, machine, "apt-get install -y python3-venv libgl1 libglib2.0-0\n")


def test_opencv_that_does_not_import(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_LACKS="cv2")
    assert run.returncode == 1
    assert "apt-get install -y libgl1 libglib2.0-0" in run.stderr
    assert machine.pip_calls() == ["lock", "project"]
    assert machine.install().returncode == 0
    assert machine.pip_calls() == ["project"], "the packages were there already"


def test_full_disk(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_FREE_MB="1234")
    assert_refused(run, machine, "not enough disk space", "1234 MB free of 9000 MB needed")
    for name in ("VENV=", "TMPDIR=", "PIP_CACHE_DIR="):
        assert name in run.stderr


def test_space_is_added_up_by_file_system(machine, tmp_path):
    machine.add_python("3.11")
    other = tmp_path / "other-disk"
    other.mkdir()
    environment = {"VENV": f"{other}/venv", "STUB_OTHER_FREE_MB": "7000"}
    run = machine.install(**environment)
    assert run.returncode == 1
    assert "/other-disk has 7000 MB free of 9000 MB needed" in run.stderr
    run = machine.install(**environment, TMPDIR=str(tmp_path / "scratch"))
    assert run.returncode == 0, run.stderr


def test_too_little_space_for_the_cache_of_pip(machine, tmp_path):
    machine.add_python("3.11")
    (tmp_path / "other-disk").mkdir()
    run = machine.install(PIP_CACHE_DIR=f"{tmp_path}/other-disk/cache", STUB_OTHER_FREE_MB="1000")
    assert run.returncode == 0, run.stderr
    assert "without pip's cache" in run.stdout
    assert all(line.endswith("cache=1") for line in machine.calls.read_text().splitlines())


def test_disk_that_fills_up_during_the_installation(machine):
    machine.add_python("3.11")
    message = (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    )
    run = machine.install(STUB_PIP_STATUS="1", STUB_PIP_SAYS=message)
    assert run.returncode == 1
    assert message in run.stdout
    assert "disk is full" in run.stderr


def test_no_network_keeps_the_environment_for_the_next_run(machine):
    machine.add_python("3.11")
    message = (
        "WARNING: Retrying after connection broken by 'NewConnectionError(<...>: Failed to "
        "establish a new connection: [Errno -3] Temporary failure in name resolution')'"
    )
    run = machine.install(STUB_PIP_STATUS="1", STUB_PIP_SAYS=message)
    assert run.returncode == 1
    assert message in run.stdout
    assert "could not reach the package index" in run.stderr
    machine.pip_calls()
    witness = machine.venv / "witness"
    witness.touch()
    assert machine.install().returncode == 0
    assert machine.pip_calls() == ["lock", "project"]
    assert witness.exists()


def test_other_failures_of_pip_show_its_message(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_PIP_STATUS="1", STUB_PIP_SAYS="ERROR: a reason of its own")
    assert run.returncode == 1
    assert "ERROR: a reason of its own" in run.stdout
    assert "pip failed" in run.stderr
    assert "network" not in run.stderr


def test_half_installed_packages_are_not_trusted(machine):
    machine.add_python("3.11")
    run = machine.install(
        STUB_PIP_STATUS="137", STUB_PIP_SAYS="Installing collected packages: torch"
    )
    assert run.returncode == 1
    machine.pip_calls()
    witness = machine.venv / "witness"
    witness.touch()
    assert machine.install().returncode == 0
    assert machine.pip_calls() == ["lock", "project"]
    assert not witness.exists()


def test_says_which_kernels_were_compiled(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_KERNELS="cpu: not built: no C++ compiler")
    assert run.returncode == 0, run.stderr
    assert "kernels: cpu: not built: no C++ compiler" in run.stdout


def test_kernels_are_compiled_as_soon_as_there_is_a_compiler(installed):
    installed._command("g++", "#!/bin/bash\n")
    assert installed.install().returncode == 0
    assert installed.pip_calls() == ["project"]
    shutil.rmtree(installed.project / "normlib/lib")
    assert installed.install().returncode == 0
    assert installed.pip_calls() == ["project"]
    assert installed.install().returncode == 0
    assert installed.pip_calls() == []


def test_second_run_is_quick_and_without_pip(installed):
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = installed.install(STUB_LACKS="ensurepip pip libGL cv2", STUB_FREE_MB="0")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run.returncode == 0, run.stderr
        # Of processors, since the machine may be busy.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 1
    assert installed.pip_calls() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("requirements.lock", ["lock", "project"]),
        ("pyproject.toml", ["project"]),
        ("setup.py", ["project"]),
        ("normlib/csrc/problem.h", ["project"]),
        ("normlib/csrc/cpu/kernels.cpp", ["project"]),
        ("normlib/csrc/cuda/binding.cpp", ["project"]),
    ],
)
def test_changed_file_is_installed_again(installed, name, expected):
    with (installed.project / name).open("a") as file:
        file.write("# changed\n")
    assert installed.install().returncode == 0
    assert installed.pip_calls() == expected
    assert installed.install().returncode == 0
    assert installed.pip_calls() == []


def test_what_python_compiles_beside_the_kernels_changes_nothing(installed):
    cache = installed.project / "normlib/csrc/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "build.cpython-311.pyc").write_bytes(b"compiled")
    assert installed.install().returncode == 0
    assert installed.pip_calls() == []


def test_existing_environment_keeps_its_python(installed):
    installed.add_python("3.13")
    assert installed.install().returncode == 0
    assert installed.pip_calls() == []


def test_naming_another_python_rebuilds(installed):
    python = installed.add_python("3.13", name="python3.13")
    assert installed.install(PYTHON=str(python)).returncode == 0
    assert installed.pip_calls() == ["lock", "project"]
    assert (installed.venv / "bin/python.version").read_text() == "3.13"


def test_moved_project_is_rebuilt(installed, tmp_path):
    (installed.venv / "witness").touch()
    installed.project = installed.project.rename(tmp_path / "moved")
    assert installed.install().returncode == 0
    assert not (installed.venv / "witness").exists()
    assert installed.pip_calls() == ["lock", "project"]


def test_folder_with_other_content_is_left_alone(machine, tmp_path):
    machine.add_python("3.11")
    precious = tmp_path / "home/precious"
    precious.parent.mkdir()
    precious.touch()
    run = machine.install(VENV=str(precious.parent))
    assert run.returncode == 1
    assert "folder with other content" in run.stderr
    assert [path.name for path in precious.parent.iterdir()] == ["precious"]


def rest_of_the_lock(machine: Machine) -> set[str]:
    """The packages of the file that pip was given in place of requirements.lock."""
    lines = (machine.venv / ".requirements").read_text().splitlines()
    return {Requirement(line.split("#")[0]).name for line in lines if not line.startswith("#")}


PYTORCH = re.compile("torch|torchvision|triton|cuda-.*|nvidia-.*")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def test_packages_alone_need_no_source(machine):
    machine.add_python("3.11")
    shutil.rmtree(machine.project / "normlib")
    (machine.project / "setup.py").unlink()
    run = machine.install("--packages")
    assert run.returncode == 0, run.stderr
    assert machine.pip_calls() == ["lock"]
    assert machine.install("--packages").returncode == 0
    assert machine.pip_calls() == []


def test_project_is_added_to_the_packages(machine):
    machine.add_python("3.11")
    assert machine.install("--packages").returncode == 0
    machine.pip_calls()
    assert machine.install().returncode == 0
    assert machine.pip_calls() == ["project"]
    assert machine.install("--packages").returncode == 0
    assert machine.install().returncode == 0
    assert machine.pip_calls() == []


def test_packages_alone_say_what_opencv_lacks(machine):
    machine.add_python("3.11")
    run = machine.install("--packages", STUB_LACKS="cv2")
    assert run.returncode == 1
    assert "apt-get install -y libgl1 libglib2.0-0" in run.stderr


@pytest.mark.parametrize("index", [CPU_INDEX, "https://mirror.example/cpu"])
def test_torch_for_cpus(machine, index):
    machine.add_python("3.11")
    chosen = {} if index == CPU_INDEX else {"TORCH_INDEX": index}
    run = machine.install(TORCH_VARIANT="cpu", **chosen)
    assert run.returncode == 0, run.stderr
    torch, rest, project = machine.pip_calls()
    pins = lock_pins("3.11")
    for text in (f"--index-url {index} ", f"torch=={pins['torch']} ", "--no-deps"):
        assert text in torch
    assert f"torchvision=={pins['torchvision']} " in torch
    assert "--index-url" not in rest
    assert "--no-deps" in rest
    assert project == "project"
    every = {Requirement(line.split("#")[0]).name for line in lock_lines()}
    assert every - rest_of_the_lock(machine) == {name for name in every if PYTORCH.fullmatch(name)}


def test_small_disk_is_enough_for_cpus(machine):
    machine.add_python("3.11")
    run = machine.install(STUB_FREE_MB="3500", TORCH_VARIANT="cpu")
    assert run.returncode == 0, run.stderr


def test_index_without_torch_for_cpus(machine):
    machine.add_python("3.11")
    run = machine.install(TORCH_VARIANT="cpu", STUB_CUDA="13.0")
    assert run.returncode == 1
    assert "TORCH_INDEX gave a torch built for CUDA 13.0" in run.stderr
    (machine.venv / "witness").touch()
    assert machine.install(TORCH_VARIANT="cpu").returncode == 0
    assert not (machine.venv / "witness").exists(), "pip would have kept the wrong torch"


@pytest.mark.parametrize("variant", ["cpu", "system"])
def test_torchvision_of_another_torch(machine, variant):
    machine.add_python("3.11", torch="2.11.0")
    run = machine.install(TORCH_VARIANT=variant, STUB_LACKS="torchvision")
    assert run.returncode == 1
    assert "operator torchvision::nms does not exist" in run.stderr
    assert "project" not in machine.pip_calls()


def test_environment_keeps_its_torch(machine):
    machine.add_python("3.11")
    assert machine.install(TORCH_VARIANT="cpu").returncode == 0
    machine.pip_calls()
    assert machine.install().returncode == 0
    assert machine.pip_calls() == []
    (machine.venv / "witness").touch()
    assert machine.install(TORCH_VARIANT="cuda").returncode == 0
    assert machine.pip_calls() == ["lock", "project"]
    assert not (machine.venv / "witness").exists()


def test_environment_from_before_the_variants_is_kept(installed):
    (installed.venv / ".torch").unlink()
    assert installed.install().returncode == 0
    assert installed.install(TORCH_VARIANT="cuda").returncode == 0
    assert installed.pip_calls() == []
    assert installed.install(TORCH_VARIANT="cpu").returncode == 0
    assert len(installed.pip_calls()) == 3


def test_torch_of_the_system(machine):
    machine.add_python("3.12", torch="2.11.0a0+a6c236b")
    run = machine.install(TORCH_VARIANT="system")
    assert run.returncode == 0, run.stderr
    rest, project = machine.pip_calls()
    assert "--no-deps" in rest
    assert project == "project"
    assert not {name for name in rest_of_the_lock(machine) if PYTORCH.fullmatch(name)}
    assert "numpy" in rest_of_the_lock(machine)
    configuration = (machine.venv / "pyvenv.cfg").read_text()
    assert configuration == "include-system-site-packages = true\n"
    assert machine.install(TORCH_VARIANT="system").returncode == 0
    assert machine.pip_calls() == []


@pytest.mark.parametrize("torch", ["2.5.1", "1.13.0+cu117", "3.0.0a0"])
def test_torch_of_the_system_out_of_range(machine, torch):
    machine.add_python("3.12", torch=torch)
    run = machine.install(TORCH_VARIANT="system")
    assert_refused(run, machine, f"has torch {torch};", "torch>=2.6,<3")


def test_system_without_torch(machine):
    machine.add_python("3.12")
    assert_refused(machine.install(TORCH_VARIANT="system"), machine, "python3 has no torch")


def test_torch_of_the_system_has_to_stay(machine):
    machine.add_python("3.12", torch="2.11.0a0")
    new = "2.11.0 /venv/torch/__init__.py"
    run = machine.install(TORCH_VARIANT="system", STUB_PIP_TORCH=new)
    assert run.returncode == 1
    assert f"torch was 2.11.0a0 /system/torch/__init__.py, and is now {new}." in run.stderr


def test_unknown_variant(machine):
    machine.add_python("3.11")
    run = machine.install(TORCH_VARIANT="rocm")
    assert_refused(run, machine, "TORCH_VARIANT=rocm is none of cuda, cpu, system")


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["--fast"], 2), (["--packages", "torch"], 2)]
)
def test_usage(machine, arguments, status):
    run = machine.install(*arguments)
    assert run.returncode == status
    assert "Usage: tools/install.sh" in run.stdout
    assert not machine.venv.exists()


@pytest.mark.parametrize("script", ["tools/install.sh", ".ci/run"])
def test_shellcheck(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    run = subprocess.run(["shellcheck", REPO / script], text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout


def lock_lines() -> list[str]:
    lines = (REPO / "requirements.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def lock_pins(python: str) -> dict[str, str]:
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
    }
    pins = {}
    for line in lock_lines():
        requirement = Requirement(line.split("#")[0])
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        pin = re.fullmatch(r"==([^,*]+)", str(requirement.specifier))
        assert pin, f"not an exact pin: {line}"
        assert not requirement.extras, f"pip takes no extras in a constraints file: {line}"
        assert requirement.name not in pins, f"pinned twice for Python {python}: {line}"
        pins[requirement.name] = pin[1]
    return pins


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_lock_agrees_with_the_ranges_of_pyproject(python):
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = lock_pins(python)
    for text in [*project["dependencies"], *extras["openmmlab"], *extras["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name]), text
