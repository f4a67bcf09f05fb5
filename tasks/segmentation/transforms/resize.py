"""Resizing to the short side that a sample asks for."""

from __future__ import annotations

import mmcv
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeShortSide(BaseTransform):
    """Resize an image to the short side that `ShortSideDataset` gave it, and its labels with it.

    Required keys: `img`, `short_side`, `seg_fields`.

    Modified keys: `img`, `img_shape`, those in `seg_fields`; `scale`, `scale_factor` and
    `keep_ratio` are added.

    Args:
        max_size: The long side becomes no longer than this; the short side then stays shorter.
        interpolation: Of the image; labels take the nearest pixel.
    """

    def __init__(self, max_size: int = 1000, interpolation: str = "bilinear") -> None:
        self.max_size = max_size
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Resize one sample.

        Raises:
            ValueError: The sample has no `short_side`.
        """
        if "short_side" not in results:
            raise ValueError(
                f"{results.get('img_path')} comes without a short side: ResizeShortSide works in "
                "the pipeline of a data set inside ShortSideDataset"
            )
        height, width = results["img"].shape[:2]
        scale = min(results["short_side"] / min(height, width), self.max_size / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        results["img"] = mmcv.imresize(results["img"], size, interpolation=self.interpolation)
        for key in results.get("seg_fields", []):
            results[key] = mmcv.imresize(results[key], size, interpolation="nearest")
        results["img_shape"] = size[::-1]
        results["scale"] = size
        results["scale_factor"] = size[0] / width, size[1] / height
        results["keep_ratio"] = True
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(max_size={self.max_size}, interpolation={self.interpolation!r})"
        )
