"""COCO data that is checked before training starts."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log

from tasks.data_checks import DatasetError, Problem, raise_if_any
from tasks.data_checks.loading import LoadImageChecked, follows_exif, with_checked_loading
from tasks.data_checks.sample import Sample

from . import annotation_check
from .annotation_file import read_annotation_file
from .examination import draw_image, examine_image
from .image_files import check_image_content, check_image_files

_CHECKED = {"LoadImageFromFile": "LoadImageChecked"}


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's `CocoDataset`, refusing data that would fail or mislead later.

    The checks run once, where the data set is loaded: in the main process, before any worker
    starts. `LoadImageFromFile` in the pipeline acts as `LoadImageChecked`, so that an image which
    breaks later is an error too.

    Args:
        pipeline: transforms, as for `CocoDataset`.
        box_tolerance: a box may leave its image by this many pixels; it is cut at the border.
        allow_unused_categories: accept categories of the file that `metainfo['classes']` lacks.
        check_images_up_to: the content of the image files is checked if there are no more of them
            than this; their existence always. Files that are not local are left to the loading.
        **kwargs: as for `CocoDataset`.

    Raises:
        DatasetError: with everything that is wrong, naming the files.
    """

    label_unit = "objects"
    examined_with = dict(check_images_up_to=0)

    def __init__(
        self,
        *,
        pipeline: Sequence = (),
        box_tolerance: float = 2.0,
        allow_unused_categories: bool = False,
        check_images_up_to: int = 20_000,
        **kwargs,
    ) -> None:
        self.box_tolerance = box_tolerance
        self.allow_unused_categories = allow_unused_categories
        self.check_images_up_to = check_images_up_to
        super().__init__(pipeline=with_checked_loading(pipeline, _CHECKED), **kwargs)

    def COCOAPI(self, annotation_file: str) -> COCO:
        """Read, check and index the annotation file; mmdet calls this to open it.

        Raises:
            DatasetError: the annotation file or an image file cannot be used.
        """
        coco = COCO()
        with _garbage_collection_paused():
            coco.dataset = read_annotation_file(annotation_file)
            self._check(coco.dataset)
            coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def filter_data(self) -> list[dict]:
        """Filter as `filter_cfg` says.

        Raises:
            DatasetError: nothing is left.
        """
        kept = super().filter_data()
        total = len(self.data_list)
        if not kept:
            raise DatasetError(
                f"{self.ann_file} cannot be used: filter_cfg={self.filter_cfg} leaves none of its "
                f"{total} images"
            )
        if left_out := total - len(kept):
            text = f"{self.ann_file}: {left_out} of {total} images are left out by filter_cfg="
            print_log(f"{text}{self.filter_cfg}", logger="current")
        return kept

    def examine(self, index: int) -> Sample:
        """Decode the image of a sample whole, and compare it with its annotation."""
        return examine_image(self.get_data_info(index), self._load)

    def picture(self, index: int) -> np.ndarray:
        """The image of a sample with boxes, class names and masks.

        Raises:
            DatasetError: the image cannot be read.
        """
        meta = self.metainfo
        palette = meta.get("palette") or CocoDataset.METAINFO["palette"]
        return draw_image(self.get_data_info(index), meta["classes"], palette, self._load)

    def _load(self, path: str) -> np.ndarray:
        turned = follows_exif(self.pipeline.transforms)
        color_type = "color" if turned else "color_ignore_orientation"
        loader = LoadImageChecked(color_type=color_type, backend_args=self.backend_args)
        return loader({"img_path": path})["img"]

    def _check(self, content: dict) -> None:
        images = content["images"]
        problems = annotation_check.check_ids(content)
        problems += annotation_check.check_file_names(images)
        problems += annotation_check.check_image_sizes(images)
        problems += annotation_check.check_classes(
            content["categories"], self.metainfo["classes"], self.allow_unused_categories
        )
        raise_if_any(self.ann_file, problems)
        problems = self._check_annotations(content) + self._check_images(images)
        raise_if_any(self.ann_file, problems)

    def _check_annotations(self, content: dict) -> list[Problem]:
        classes = set(self.metainfo["classes"])
        wanted = {entry["id"] for entry in content["categories"] if entry["name"] in classes}
        annotations = [a for a in content["annotations"] if a["category_id"] in wanted]
        images = {image["id"]: image for image in content["images"]}
        problems = annotation_check.check_boxes(annotations, images, self.box_tolerance)
        if self.test_mode:
            problems += annotation_check.check_crowd_flags(annotations)
        if any(getattr(step, "with_mask", False) for step in self.pipeline.transforms):
            problems += annotation_check.check_masks(annotations, images)
        if not problems:
            problems += self._check_use(annotations)
        return problems

    def _check_use(self, annotations: list[dict]) -> list[Problem]:
        reasons = annotation_check.unused_reasons(annotations)
        unused = sum(reasons.values())
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        if unused == len(annotations):
            text = "there is no annotation of the classes of the config"
            return [Problem(f"none of its annotations can be used: {why or text}")]
        if unused:
            text = f"{self.ann_file}: {unused} of {len(annotations)} annotations are skipped: {why}"
            print_log(text, logger="current", level=logging.WARNING)
        return []

    def _check_images(self, images: list[dict]) -> list[Problem]:
        if not images:
            return [Problem("its list of images is empty")]
        folder = self.data_prefix["img"]
        if not isinstance(get_file_backend(folder, backend_args=self.backend_args), LocalBackend):
            return []
        start = time.monotonic()
        problems, present = check_image_files(images, folder)
        if len(images) <= self.check_images_up_to:
            exif = follows_exif(self.pipeline.transforms)
            problems += check_image_content(present, folder, exif)
        if not problems:
            seconds = time.monotonic() - start
            print_log(f"checked {len(images)} images of {folder} in {seconds:.1f} s", "current")
        return problems


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Spare the collector from walking millions of young objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
