"""Faces brought to where a model expects eyes, nose and mouth."""

from __future__ import annotations

import cv2
import numpy as np

# Left and right eye as seen, nose, corners of the mouth, in pixels of an image of 112 x 112, as
# ArcFace (Deng et al. 2019) was trained.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
_TEMPLATE_SIZE = 112


class AlignmentError(ValueError):
    """Landmarks do not tell where a face is."""


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift that bring points closest to others, in the sum of squares.

    Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns,
    1991, equations 38 to 43. Never a reflection.

    Args:
        source: Of shape (n, 2), not all the same.
        target: Of shape (n, 2).

    Returns:
        float64 of shape (2, 3): target ~ matrix[:, :2] @ source + matrix[:, 2].

    Raises:
        AlignmentError: The shapes are others, or the points have no extent, or are no numbers.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise AlignmentError(
            f"landmarks of shape {source.shape} are to be brought to {target.shape}; both have to "
            "be (n, 2)"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise AlignmentError(f"landmarks are not all numbers: {source.tolist()}")
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_offset, target_offset = source - source_mean, target - target_mean
    variance = (source_offset**2).sum() / len(source)
    if variance < 1e-12 * max(1.0, float((source_mean**2).sum())):
        raise AlignmentError(f"all landmarks are the same point: {source.tolist()}")
    covariance = target_offset.T @ source_offset / len(source)
    left, spread, right = np.linalg.svd(covariance)
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    rotation = left @ np.diag(sign) @ right
    scale = (spread * sign).sum() / variance
    shift = target_mean - scale * rotation @ source_mean
    return np.column_stack([scale * rotation, shift])


def align_face(image: np.ndarray, landmarks: np.ndarray, size: int = _TEMPLATE_SIZE) -> np.ndarray:
    """Cut a face out so that its landmarks come closest to the template's.

    Args:
        image: uint8 of shape (H, W, 3) or (H, W), any order of channels.
        landmarks: Of shape (5, 2): x and y, in pixels, of the left and right eye as seen, the tip
            of the nose, and the left and right corner of the mouth as seen.
        size: Side of the result in pixels.

    Returns:
        uint8 of shape (size, size, 3) or (size, size), black beyond the image.

    Raises:
        AlignmentError: See :func:`similarity_transform`.
    """
    matrix = similarity_transform(landmarks, TEMPLATE * (size / _TEMPLATE_SIZE))
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
