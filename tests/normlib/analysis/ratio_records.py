"""Records of ratios that tests draw and read."""

from __future__ import annotations

import numpy as np

from normlib.analysis.ratio_record import RatioRecord, RecordedLayer, flat_size, from_flat, part_of

THREE = ("in", "ln", "bn")


def layer(name: str, normalizers=THREE, kind="SN", field: int | None = None) -> RecordedLayer:
    stride = None if field is None else 4
    return RecordedLayer(name, part_of(name), kind, normalizers, 8, field, stride)


#: A layer of each part, one of them without instance statistics.
LAYERS = (
    layer("backbone.norm1", field=7),
    layer("backbone.norm2", field=19),
    layer("neck.norm", field=11),
    layer("bbox_head.norm", ("ln", "bn")),
)


def random_record(layers=LAYERS, moments: int = 5, seed: int = 0, source: str = "a") -> RatioRecord:
    """Soft ratios that are drawn anew at every moment."""
    draw = np.random.default_rng(seed)
    pieces = [
        draw.dirichlet(np.ones(len(each.normalizers)), moments) for _ in range(2) for each in layers
    ]
    flat = np.concatenate(pieces, 1).astype(np.float32)
    assert flat.shape == (moments, flat_size(layers))
    return from_flat(layers, 10 * np.arange(moments), flat, max_iters=40, source=source)


def one_hot_record(choices: list[list[str]], source: str = "a") -> RatioRecord:
    """Means and variances of sparse layers, which settle on names after a soft first moment.

    Args:
        choices: For each layer the names of the mean's and the variance's choice.
        source: Of the record.
    """
    layers = [layer(f"backbone.norm{k}", kind="SSN") for k in range(len(choices))]
    hard = [float(name == pair[part]) for part in range(2) for pair in choices for name in THREE]
    soft = [0.5, 0.3, 0.2] * 2 * len(choices)
    flat = np.array([soft, hard], np.float32)
    return from_flat(layers, np.array([0, 10]), flat, max_iters=10, source=source)
