"""The list file of images that mmseg's data sets take."""

from __future__ import annotations

import os
from typing import Any

from mmengine import fileio

from tasks.data_checks import DatasetError, outside, raise_if_any


def check_image_list(path: str, backend_args: dict[str, Any] | None = None) -> None:
    """Check that the images of a list, one a line without suffix, lie below their folder.

    Args:
        path: The list file.
        backend_args: Where it is read from, see mmengine's `fileio`.

    Raises:
        DatasetError: It cannot be read, or a line leads out of the folder.
    """
    if os.path.isdir(path):
        return
    try:
        lines = fileio.list_from_file(path, backend_args=backend_args)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the list of images {path} cannot be read: {error}") from error
    names = [line.strip() for line in lines]
    raise_if_any(path, outside(names, (f"line {number}" for number in range(1, len(names) + 1))))
