"""The step of the installation that pyproject.toml cannot describe: compiling the kernels."""

import importlib.util
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

_FOLDER = Path(__file__).parent / "normlib" / "csrc"


class BuildWithKernels(build_py):
    """Compile the kernels into the package; the eager backend serves where that fails."""

    def run(self) -> None:
        spec = importlib.util.spec_from_file_location("build_kernels", _FOLDER / "build.py")
        assert spec is not None
        assert spec.loader is not None
        kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernels)
        kernels.build()
        super().run()


class BinaryDistribution(Distribution):
    """Wheels hold compiled libraries: one for each platform."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_py": BuildWithKernels}, distclass=BinaryDistribution)
