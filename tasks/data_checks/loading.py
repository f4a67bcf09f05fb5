"""Loading images that are whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS

from .image_reading import read_image_file
from .problems import DatasetError


@TRANSFORMS.register_module()
class LoadImageChecked(LoadImageFromFile):
    """mmcv's `LoadImageFromFile` which refuses images that are not whole or not as annotated.

    OpenCV before 5 decodes a file that is cut off into a partly grey image without an error, and in
    an image of another size than annotated every box is wrong.

    Required keys: `img_path`; `height` and `width` are compared if present.

    Modified keys: `img` (height, width, 3), `img_shape`, `ori_shape`.

    Raises:
        DatasetError: naming the file, unless `ignore_empty` asks for None in place of the sample.
    """

    def transform(self, results: dict) -> dict | None:
        """Load the image of one sample."""
        try:
            image = self._load(results)
        except DatasetError:
            if self.ignore_empty:
                return None
            raise
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def _load(self, results: dict) -> np.ndarray:
        path = results["img_path"]
        content = read_image_file(path, self.backend_args)
        image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise DatasetError(f"{path} is not an image that {self.imdecode_backend} can decode")
        annotated = results.get("height"), results.get("width")
        if None not in annotated and image.shape[:2] != annotated:
            raise DatasetError(
                f"{path} is {image.shape[1]} x {image.shape[0]}, "
                f"annotated as {annotated[1]} x {annotated[0]}"
            )
        return image


def with_checked_loading(step: object, checked: Mapping[str, str]) -> object:
    """Let transforms that load files act as others that check them.

    Args:
        step: A pipeline, or a step of one; steps inside others, as in `TestTimeAug`, count too.
        checked: The type that takes the place of each, by its name without a scope.

    Returns:
        The same with other types. What is no config stays as it is.
    """
    if isinstance(step, (list, tuple)):
        return [with_checked_loading(part, checked) for part in step]
    if not isinstance(step, dict):
        return step
    changed = dict(step)
    if "transforms" in step:
        changed["transforms"] = with_checked_loading(step["transforms"], checked)
    kind = step.get("type")
    name = getattr(kind, "__name__", str(kind).split(".")[-1])
    return changed | {"type": checked.get(name, kind)}


def follows_exif(transforms: Iterable[object]) -> bool:
    """Whether images are turned as their EXIF data ask for by the transform that loads them."""
    flags = (getattr(transform, "color_type", "") for transform in transforms)
    return not any("ignore_orientation" in flag or flag == "unchanged" for flag in flags)
