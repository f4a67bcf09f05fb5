"""Loading images that are whole."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS

from tasks.data_checks import DatasetError, read_image_file


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
