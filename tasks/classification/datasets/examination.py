"""What a look at one image and its class tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from torch import Tensor

from tasks.data_checks import DatasetError
from tasks.data_checks.drawing import fitted, put_text
from tasks.data_checks.sample import Sample

Load = Callable[[str], Tensor]


def examine_image(path: str, label: int, load: Load) -> Sample:
    """Decode an image whole.

    Args:
        path: the file.
        label: index of its class.
        load: gives the image of a file, RGB of shape (3, height, width); raises DatasetError.
    """
    try:
        height, width = load(path).shape[1:]
    except DatasetError as error:
        return Sample(path, labels={label: 1}, problems=(str(error),))
    return Sample(path, (width, height), {label: 1})


def draw_image(path: str, label: int, classes: Sequence[str], load: Load) -> np.ndarray:
    """An image with the name of its class in the upper left corner.

    Raises:
        DatasetError: the image cannot be read.
    """
    image = load(path).permute(1, 2, 0).numpy()
    picture = fitted(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    put_text(picture, classes[label], (0, 0))
    return picture
