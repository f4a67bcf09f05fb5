"""mmcv's compiled operators, served by torchvision where mmcv was installed without them.

mmcv-lite has no ``mmcv._ext``, and importing ``mmcv.ops`` (hence mmdet.models and mmseg.models)
fails without it. :func:`install` provides that module. NMS, soft-NMS and average RoIAlign work,
with mmcv's semantics; every other operator raises :class:`NotImplementedError` when it is called.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import torch
import torchvision
from torch import Tensor

_MODULE = "mmcv._ext"
_LOW_PRECISION = (torch.float16, torch.bfloat16)
_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


def install() -> None:
    """Let ``import mmcv._ext`` succeed; a compiled mmcv, where there is one, keeps precedence.

    Calling it again does nothing. It must come before the first import of ``mmcv.ops``.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``mmcv._ext``; the last of ``sys.meta_path``, so asked only when nobody has it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        return importlib.machinery.ModuleSpec(_MODULE, self, origin=__name__)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Operators(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(
            nms=nms,
            softnms=softnms,
            roi_align_forward=roi_align_forward,
            roi_align_backward=roi_align_backward,
            get_compiler_version=lambda: f"none (torchvision {torchvision.__version__})",
            get_compiling_cuda_version=lambda: f"none (torchvision {torchvision.__version__})",
        )


class _Operators(ModuleType):
    """``mmcv._ext``: mmcv asks for every operator on import, so absent ones fail on use."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(f"module {_MODULE!r} has no attribute {name!r}")

        def unavailable(*args: object, **kwargs: object) -> None:
            raise _unavailable(f"the mmcv operator {name!r}")

        return unavailable


def _unavailable(what: str) -> NotImplementedError:
    return NotImplementedError(
        f"{what} needs a compiled mmcv, and mmcv-lite is installed: of mmcv's operators only nms, "
        "softnms and roi_align (average) are available. Use a model without this operator, or "
        "build mmcv>=2.0,<2.2 from source in place of mmcv-lite (MMCV_WITH_OPS=1)."
    )


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: A box goes when its IoU with a kept one is greater than this.
        offset: 0 or 1, added to widths and heights (1: coordinates are pixel indices).

    Returns:
        Indices of the boxes kept, by falling score, int64.
    """
    if boxes.dtype in _LOW_PRECISION:
        boxes = boxes.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017, arXiv:1704.04503): lower the scores of overlapping boxes.

    Each step takes the box of the highest score that is left (the first one where several are
    equal), weighs the scores of the others and drops those that fall below ``min_score``.

    Args:
        boxes: (N, 4) on the CPU, as x1, y1, x2, y2.
        scores: (N,).
        dets: (N, 5), filled in place: row i is the i-th box kept, x1, y1, x2, y2, new score.
        iou_threshold: Boxes of at least this IoU are weighed (not used by the gaussian method).
        sigma: Width of the gaussian weight exp(-IoU^2 / sigma).
        min_score: Least score of a box, except of the first.
        method: 0 naive (weight 0), 1 linear (weight 1 - IoU), 2 gaussian.
        offset: 0 or 1, added to widths and heights.

    Returns:
        Indices of the K boxes kept, in the order of the first K rows of ``dets``, int64.
    """
    dtype = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    corners = boxes.detach().to(dtype).numpy()
    left = np.concatenate([corners, scores.detach().to(dtype).numpy()[:, None]], axis=1)
    index = np.arange(len(left))
    areas = (left[:, 2] - left[:, 0] + offset) * (left[:, 3] - left[:, 1] + offset)

    rows, kept = [], []
    while len(left):
        best = left[:, 4].argmax()
        top, top_area = left[best], areas[best]
        rows.append(top)
        kept.append(index[best])
        others = np.arange(len(left)) != best
        left, index, areas = left[others], index[others], areas[others]

        size = np.minimum(top[2:4], left[:, 2:4]) - np.maximum(top[:2], left[:, :2]) + offset
        inter = size.clip(min=0).prod(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = inter / (top_area + areas - inter)
        if method == _GAUSSIAN:
            left[:, 4] *= np.exp(-(iou**2) / sigma)
        else:
            weight = 1 - iou if method == _LINEAR else 0.0
            left[:, 4] *= np.where(iou >= iou_threshold, weight, 1.0)
        # "not below" rather than "at least": a NaN score stays, as it does in mmcv.
        high = ~(left[:, 4] < min_score)
        left, index, areas = left[high], index[high], areas[high]

    if rows:
        dets[: len(rows)] = torch.from_numpy(np.stack(rows))
    return torch.tensor(kept, dtype=torch.int64)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al., 2017, arXiv:1703.06870), average pooling.

    Args:
        input: (N, C, H, W); float16 and bfloat16 are computed in float32.
        rois: (K, 5) as index into N, x1, y1, x2, y2.
        output: (K, C, aligned_height, aligned_width), filled in place.
        argmax_y: Used by max pooling only.
        argmax_x: Used by max pooling only.
        aligned_height: Height of the output.
        aligned_width: Width of the output.
        spatial_scale: From the coordinates of the RoIs to those of the input.
        sampling_ratio: Samples along each side of a bin; 0: as many as the bin has pixels.
        pool_mode: 1, average.
        aligned: Pixel centres lie at half-integers.

    Raises:
        NotImplementedError: For pool_mode 0, max.
    """
    if pool_mode != 1:
        raise _unavailable("roi_align with pool_mode='max'")
    features = input.float() if input.dtype in _LOW_PRECISION else input
    output.copy_(
        torch.ops.torchvision.roi_align(
            features,
            rois.to(features.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward`; fills ``grad_input``, (N, C, H, W), in place.

    The other arguments are those of the forward, with ``grad_output`` of the shape of ``output``.

    Raises:
        NotImplementedError: For pool_mode 0, max.
    """
    if pool_mode != 1:
        raise _unavailable("roi_align with pool_mode='max'")
    grad = grad_output.float() if grad_output.dtype in _LOW_PRECISION else grad_output
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            rois.to(grad.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )
