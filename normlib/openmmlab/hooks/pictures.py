"""A picture for every image that is tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
from mmengine import fileio
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from normlib.image_size import ImageSizeError, why_refused


@HOOKS.register_module()
class PictureHook(Hook):
    """Draws tested images with their labels, truth and prediction side by side.

    ``IMAGE.png`` in the folder is drawn for ``IMAGE.jpg``, by the Runner's visualizer, which must
    take ``out_file`` (``SegLocalVisualizer``, ``DetLocalVisualizer``). Images of one name in
    several folders get the name of their folder in front: ``FOLDER_IMAGE.png`` from the second on.

    Args:
        out_dir: The folder; it is made if need be.
        interval: Draw the images of every so many batches.
        backend_args: Where image files are read from, see mmengine's ``fileio``.
    """

    def __init__(
        self, out_dir: str, interval: int = 1, backend_args: dict[str, Any] | None = None
    ) -> None:
        self.out_dir = Path(out_dir)
        self.interval = interval
        self.backend_args = backend_args
        self._drawn: set[Path] = set()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Draw the images of a batch."""
        if not self.every_n_inner_iters(batch_idx, self.interval):
            return
        for sample in outputs or ():
            content = fileio.get(sample.img_path, backend_args=self.backend_args)
            if refused := why_refused(content):
                raise ImageSizeError(f"{sample.img_path} {refused}")
            image = mmcv.imfrombytes(content, channel_order="rgb")
            path = self._place(Path(sample.img_path))
            runner.visualizer.add_datasample(path.stem, image, sample, out_file=str(path))

    def _place(self, image: Path) -> Path:
        path = self.out_dir / f"{image.stem}.png"
        if path in self._drawn:
            path = self.out_dir / f"{image.parent.name}_{image.stem}.png"
        self._drawn.add(path)
        return path
