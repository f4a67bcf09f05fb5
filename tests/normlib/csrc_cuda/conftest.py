from __future__ import annotations

import shutil

import pytest

from tests.normlib.csrc_cuda import emulated


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> emulated.Kernels:
    if shutil.which(emulated.COMPILER) is None:
        pytest.skip(f"{emulated.COMPILER} is missing")
    return emulated.build(tmp_path_factory.mktemp("kernels"))
