"""Images as tensors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import to_dtype

from tasks.data_checks import DatasetError, read_image_file
from tasks.data_checks.image_header import FORMATS

_GIF = b"GIF8"


@TRANSFORMS.register_module()
class LoadImageTensor(BaseTransform):
    """Decode an image file to RGB, and refuse one that is not whole.

    EXIF orientation is ignored, as the published figures are computed; of an animation the first
    picture is taken; 16 bits are scaled to 8.

    Required keys: `img_path`.

    Added keys: `img`, uint8 of shape (3, H, W).

    Args:
        backend_args: Where files are read from, see mmengine's `fileio`.

    Raises:
        DatasetError: Naming the file.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the image of one sample."""
        path = results["img_path"]
        results["img"] = _decoded(path, read_image_file(path, self.backend_args))
        return results


def _decoded(path: str, content: bytes) -> torch.Tensor:
    # Of an animation torchvision decodes all pictures.
    image = None if content.startswith(_GIF) else _by_torchvision(content)
    return _by_pillow(path, content) if image is None else image


def _by_torchvision(content: bytes) -> torch.Tensor | None:
    """None where Pillow is to try: it knows more formats, and damage that libjpeg tolerates."""
    try:
        # The copy is writable, as torch wants it.
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        image = decode_image(encoded, ImageReadMode.RGB)
    except (RuntimeError, ValueError):
        return None
    return to_dtype(image[0] if image.dim() == 4 else image, torch.uint8, scale=True)


def _by_pillow(path: str, content: bytes) -> torch.Tensor:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(
            f"{path} is not an image, or a badly damaged one ({error}); fetch it again, or remove "
            "it from the data"
        ) from error
