"""The mmcv operators served by torchvision, against mmcv's semantics written plainly."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import normlib.openmmlab  # noqa: F401

# isort: split
from mmcv.ops import (
    DeformConv2dPack,
    RoIAlign,
    RoIPool,
    batched_nms,
    get_compiler_version,
    nms,
    roi_align,
    soft_nms,
)
from mmengine.model import revert_sync_batchnorm

from normlib.openmmlab import mmcv_ops

ROOT = Path(__file__).parents[3]


def make_boxes(count, seed, span=40):
    """Boxes that overlap a lot, and scores without ties."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * span
    size = torch.rand(count, 2, generator=generator) * span / 2 + 1
    scores = torch.randperm(count, generator=generator).float().add(1) / (count + 1)
    return torch.cat([corner, corner + size], 1), scores


def iou(a, b, offset):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
    return width * height / (sum(area) - width * height)


def plain_nms(boxes, scores, threshold, offset):
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou(boxes[best], boxes[i], offset) <= threshold]
    return kept


def plain_soft_nms(boxes, scores, method, threshold, sigma, min_score, offset):
    scores = dict(enumerate(scores))
    kept = []
    while scores:
        best = max(scores, key=scores.get)
        kept.append((best, scores.pop(best)))
        for i in list(scores):
            overlap = iou(boxes[best], boxes[i], offset)
            if method == "gaussian":
                scores[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[i] *= 1 - overlap if method == "linear" else 0
            if scores[i] < min_score:
                del scores[i]
    return kept


def plain_roi_align(features, rois, size, scale, sampling_ratio, aligned):
    """RoIAlign by its definition: the mean of bilinear samples in each bin."""
    channels, height, width = features.shape[1:]

    def sample(image, y, x):
        if not (-1 <= y <= height and -1 <= x <= width):
            return np.zeros(channels)
        y, x = max(y, 0.0), max(x, 0.0)
        top, left = min(int(y), height - 1), min(int(x), width - 1)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        v, u = (y - top if bottom > top else 0.0), (x - left if right > left else 0.0)
        upper = (1 - u) * image[:, top, left] + u * image[:, top, right]
        lower = (1 - u) * image[:, bottom, left] + u * image[:, bottom, right]
        return (1 - v) * upper + v * lower

    out = np.zeros((len(rois), channels, *size))
    for k, (index, *box) in enumerate(rois):
        x1, y1, x2, y2 = (c * scale - 0.5 * aligned for c in box)
        extent = [y2 - y1, x2 - x1]
        if not aligned:
            extent = [max(e, 1.0) for e in extent]
        bins = [e / n for e, n in zip(extent, size, strict=True)]
        grid = [sampling_ratio or math.ceil(b) for b in bins]
        for i in range(size[0]):
            for j in range(size[1]):
                samples = [
                    sample(
                        features[int(index)],
                        y1 + (i + (p + 0.5) / grid[0]) * bins[0],
                        x1 + (j + (q + 0.5) / grid[1]) * bins[1],
                    )
                    for p in range(grid[0])
                    for q in range(grid[1])
                ]
                out[k, :, i, j] = np.mean(samples, axis=0)
    return out


FEATURES = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)).double()
ROIS = torch.tensor(
    [[0, 2.0, 1.0, 30.0, 25.0], [1, -6.0, 3.0, 18.0, 60.0], [1, 8.0, 8.0, 8.5, 9.0]]
).double()


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_nms(offset, dtype):
    boxes, scores = make_boxes(60, seed=1)
    boxes, scores = boxes.to(dtype), scores.to(dtype)
    dets, kept = nms(boxes, scores, 0.3, offset=offset)
    expected = plain_nms(boxes.tolist(), scores.tolist(), 0.3, offset)
    assert kept.tolist() == expected
    assert 1 < len(expected) < 60
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[kept])


def test_nms_offset_decides():
    boxes = torch.tensor([[0.0, 0, 3, 3], [2, 0, 5, 3]])  # IoU 1/5 without, 1/3 with pixel widths
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


def test_nms_keeps_at_the_threshold_and_takes_no_boxes():
    boxes = torch.tensor([[0.0, 0, 3, 1], [1, 0, 4, 1], [0, 5, 1, 6]])  # first two: IoU 1/2
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert nms(boxes, scores, 0.5)[1].tolist() == [1, 2, 0]
    assert nms(boxes, scores, 0.49)[1].tolist() == [1, 2]
    assert nms(boxes[:0], scores[:0], 0.5)[1].shape == (0,)


def test_nms_score_threshold_and_max_num():
    boxes, scores = make_boxes(60, seed=2)
    above = [i for i in plain_nms(boxes.tolist(), scores.tolist(), 0.3, 0) if scores[i] > 0.4]
    assert nms(boxes, scores, 0.3, score_threshold=0.4, max_num=5)[1].tolist() == above[:5]


@pytest.mark.parametrize("split_thr", [10000, 10])
def test_batched_nms_leaves_other_classes_alone(split_thr):
    boxes, scores = make_boxes(40, seed=3)
    labels = torch.arange(40) % 3
    dets, kept = batched_nms(
        boxes, scores, labels, dict(type="nms", iou_threshold=0.3, split_thr=split_thr)
    )
    expected = []
    for label in range(3):
        own = (labels == label).nonzero().flatten()
        chosen = plain_nms(boxes[own].tolist(), scores[own].tolist(), 0.3, 0)
        expected += own[chosen].tolist()
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[kept])


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("min_score", [0.001, 0.3])
def test_soft_nms(method, offset, min_score):
    boxes, scores = make_boxes(50, seed=4)
    boxes, scores = boxes.double(), scores.double()
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    expected = plain_soft_nms(boxes.tolist(), scores.tolist(), method, 0.3, 0.5, min_score, offset)
    assert kept.tolist() == [i for i, _ in expected]
    assert torch.equal(dets[:, :4], boxes[kept])
    torch.testing.assert_close(dets[:, 4].tolist(), [s for _, s in expected], rtol=1e-12, atol=0)


def test_soft_nms_edges():
    boxes, scores = make_boxes(1, seed=0)
    dets, kept = soft_nms(boxes, scores * 1e-6, min_score=0.5)
    assert kept.tolist() == [0]  # the highest box stays, however low
    dets, kept = soft_nms(boxes[:0], scores[:0])
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
    same = torch.tensor([[0.0, 0, 4, 4]]).repeat(3, 1)
    dets, kept = soft_nms(same, torch.full((3,), 0.5), method="naive")
    assert kept.tolist() == [0]


def test_batched_soft_nms():
    boxes, scores = make_boxes(30, seed=5)
    labels = torch.arange(30) % 2
    dets, kept = batched_nms(boxes, scores, labels, dict(type="soft_nms", iou_threshold=0.3))
    expected = {}
    for label in (0, 1):
        own = (labels == label).nonzero().flatten()
        for i, score in plain_soft_nms(
            boxes[own].double().tolist(), scores[own].tolist(), "linear", 0.3, 0.5, 1e-3, 0
        ):
            expected[own[i].item()] = score
    assert set(kept.tolist()) == set(expected)
    scored = torch.tensor([expected[i] for i in kept.tolist()])
    torch.testing.assert_close(dets[:, 4], scored, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 2, 3])
def test_roi_align(aligned, sampling_ratio):
    got = roi_align(FEATURES, ROIS, (3, 2), 0.25, sampling_ratio, "avg", aligned)
    expected = plain_roi_align(
        FEATURES.numpy(), ROIS.tolist(), (3, 2), 0.25, sampling_ratio, aligned
    )
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_roi_align_low_precision(dtype):
    features = FEATURES.to(dtype).requires_grad_()
    got = RoIAlign((3, 2), 0.25, 2)(features, ROIS.float())
    assert got.dtype == dtype
    # Computed in float32 and rounded once.
    exact = roi_align(features.detach().float(), ROIS.float(), (3, 2), 0.25, 2)
    assert torch.equal(got, exact.to(dtype))
    got.sum().backward()
    assert features.grad.dtype == dtype


def test_roi_align_under_cpu_autocast():
    conv = torch.nn.Conv2d(3, 4, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = conv(FEATURES.float())
        got = RoIAlign(2, 0.25, 2)(features, ROIS.float())
    assert features.dtype == got.dtype == torch.bfloat16
    got.float().sum().backward()
    assert conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_gradient(aligned, sampling_ratio):
    features = FEATURES[:, :1, :5, :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, ROIS, (2, 2), 0.2, sampling_ratio, "avg", aligned), features
    )


def test_roi_align_without_rois():
    features = FEATURES.clone().requires_grad_()
    out = roi_align(features, ROIS[:0], (2, 2), 0.25)
    out.sum().backward()
    assert out.shape == (0, 3, 2, 2)
    assert not features.grad.any()


def test_other_operators_fail_on_use_and_name_themselves():
    module = DeformConv2dPack(3, 4, 3)
    with pytest.raises(NotImplementedError, match=r"deform_conv_forward.*mmcv"):
        module(FEATURES.float())
    with pytest.raises(NotImplementedError, match="roi_pool_forward"):
        RoIPool(2)(FEATURES.float(), ROIS.float())
    with pytest.raises(NotImplementedError, match="roi_align with pool_mode='max'"):
        roi_align(FEATURES, ROIS, (2, 2), 0.25, 2, "max")


def test_environment_report_and_sync_bn_reversion():
    assert "torchvision" in get_compiler_version()
    reverted = revert_sync_batchnorm(torch.nn.Sequential(torch.nn.SyncBatchNorm(3)))
    assert not isinstance(reverted[0], torch.nn.SyncBatchNorm)


def test_installing_twice_leaves_one_finder():
    before = list(sys.meta_path)
    mmcv_ops.install()
    assert sys.meta_path == before


FRESH = """
import normlib.openmmlab
{first}
import mmcv._ext
print(mmcv._ext.__spec__.name, "compiled" in vars(mmcv._ext))
"""


@pytest.mark.parametrize("compiled", [True, False])
def test_a_compiled_mmcv_wins(compiled, tmp_path):
    (tmp_path / "_ext.py").write_text("compiled = True\n")
    first = f"import mmcv; mmcv.__path__.append({str(tmp_path)!r})" if compiled else ""
    result = subprocess.run(
        [sys.executable, "-c", FRESH.format(first=first)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.split()[-2:] == ["mmcv._ext", str(compiled)], result.stderr


@pytest.mark.parametrize("library", ["mmdet.models", "mmseg.models", "mmdet.utils.collect_env"])
def test_libraries_that_need_the_operators_import(library):
    importlib.import_module(library)


def test_the_environment_can_be_collected():
    from mmcv.utils import collect_env

    assert "torchvision" in collect_env()["MMCV Compiler"]
