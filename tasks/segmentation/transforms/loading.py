"""Loading labels that fit their images and classes."""

from __future__ import annotations

from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from tasks.data_checks import DatasetError
from tasks.segmentation.datasets.label_file import read_label, size_difference
from tasks.segmentation.datasets.label_ids import label_ids_hint
from tasks.segmentation.datasets.label_values import LabelValues, wrong_values


@TRANSFORMS.register_module()
class LoadSegLabelChecked(LoadAnnotations):
    """mmseg's `LoadAnnotations` which refuses labels that would mislead.

    Required keys: `seg_map_path`, `seg_fields`, `num_classes` (of the files), `reduce_zero_label`;
    `label_map` and `ori_shape` if present.

    Modified keys: `gt_seg_map`, uint8 of shape (height, width), `seg_fields`.

    Raises:
        DatasetError: Naming the file, which is not whole, has another form than a label, another
            size than its image before any resizing, or a value that stands for no class.
        ValueError: `reduce_zero_label` is another one than that of the data set.
    """

    def _load_seg_map(self, results: dict) -> None:
        path, reduce_zero_label = results["seg_map_path"], results["reduce_zero_label"]
        if self.reduce_zero_label not in (None, reduce_zero_label):
            raise ValueError(
                f"LoadAnnotations has reduce_zero_label={self.reduce_zero_label}, the data set "
                f"{reduce_zero_label}; leave it out of LoadAnnotations"
            )
        label = read_label(path, self.backend_args, self.imdecode_backend)
        image = results.get("ori_shape")
        if image and (difference := size_difference(path, label.shape, tuple(image[:2]))):
            raise DatasetError(difference)
        values = LabelValues(results["num_classes"], reduce_zero_label)
        if wrong := values.wrong(label):
            hint = label_ids_hint([path], wrong, values.num_classes)
            raise DatasetError(wrong_values(path, wrong, values) + hint)
        results["gt_seg_map"] = values.classes(label, results.get("label_map"))
        results["seg_fields"].append("gt_seg_map")
