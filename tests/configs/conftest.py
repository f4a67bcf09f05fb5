import functools

import pytest
from mmengine.config import utils

import normlib.openmmlab  # noqa: F401  (serves mmcv's operators before a test module imports mmdet)


@pytest.fixture(scope="session", autouse=True)
def metafiles_are_read_once():
    """mmengine reads all metafiles of mmdet or mmseg for each config that it inherits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "load", functools.cache(utils.load))
        yield
