"""The limit of pixels for images that OpenMMLab's own transforms decode.

This project's transforms check files themselves, and name them; what a config takes from mmcv,
mmdet or mmseg instead goes through ``mmcv.imfrombytes``.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import mmcv
import mmcv.image.io

from normlib.image_size import ImageSizeError, why_refused

_MARK = "_normlib_checked"


def install() -> None:
    """Let ``mmcv.imfrombytes`` and ``mmcv.imread`` refuse what ``normlib.image_size`` refuses."""
    decode = mmcv.image.io.imfrombytes
    if hasattr(decode, _MARK):
        return

    @wraps(decode)
    def checked(content: bytes, *args: Any, **kwargs: Any) -> Any:
        if refused := why_refused(content):
            raise ImageSizeError(f"an image {refused}")
        return decode(content, *args, **kwargs)

    setattr(checked, _MARK, True)
    for module in (mmcv, mmcv.image, mmcv.image.io):
        module.imfrombytes = checked
