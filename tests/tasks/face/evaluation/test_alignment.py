from __future__ import annotations

import cv2
import numpy as np
import pytest

from tasks.face.evaluation.alignment import (
    TEMPLATE,
    AlignmentError,
    align_face,
    similarity_transform,
)


def similarity(degrees, scale, shift):
    angle = np.radians(degrees)
    rotation = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.column_stack([scale * np.array(rotation), shift])


def moved(points, matrix):
    return points @ matrix[:, :2].T + matrix[:, 2]


class TestSimilarityTransform:
    @pytest.mark.parametrize("degrees", [0, 30, -90, 180])
    @pytest.mark.parametrize("scale", [0.2, 1, 3])
    def test_recovers_rotation_scale_and_shift(self, degrees, scale):
        expected = similarity(degrees, scale, (12, -40))
        found = similarity_transform(TEMPLATE, moved(TEMPLATE, expected))
        assert found == pytest.approx(expected, abs=1e-9)

    def test_never_a_reflection(self):
        mirrored = TEMPLATE * [-1, 1]
        found = similarity_transform(mirrored, TEMPLATE)
        assert np.linalg.det(found[:, :2]) > 0
        assert np.abs(moved(mirrored, found) - TEMPLATE).max() > 5

    @pytest.mark.parametrize("mirror", [1, -1])
    def test_no_other_is_closer(self, mirror):
        random = np.random.default_rng(0)
        source = TEMPLATE * [mirror, 1] + random.normal(0, 3, TEMPLATE.shape)
        found = similarity_transform(source, TEMPLATE)

        def misfit(matrix):
            return ((moved(source, matrix) - TEMPLATE) ** 2).sum()

        for _ in range(200):
            angle, scale, *shift = random.normal(0, 1, 4) * [1, 0.01, 0.2, 0.2]
            other = similarity(angle, 1 + scale, shift)
            combined = np.column_stack(
                [other[:, :2] @ found[:, :2], other[:, :2] @ found[:, 2] + other[:, 2]]
            )
            assert misfit(combined) >= misfit(found)

    def test_points_on_a_line(self):
        line = np.array([[0.0, 0], [1, 1], [2, 2], [3, 3], [5, 5]])
        expected = similarity(90, 2, (1, 1))
        assert similarity_transform(line, moved(line, expected)) == pytest.approx(expected)

    def test_mistakes(self):
        with pytest.raises(AlignmentError, match="all landmarks are the same point"):
            similarity_transform(np.full((5, 2), 60.0), TEMPLATE)
        with pytest.raises(AlignmentError, match=r"shape \(4, 2\)"):
            similarity_transform(TEMPLATE[:4], TEMPLATE)
        with pytest.raises(AlignmentError, match="not all numbers"):
            similarity_transform(TEMPLATE * np.nan, TEMPLATE)


class TestAlignFace:
    def test_landmarks_go_to_the_template(self):
        landmarks = moved(TEMPLATE, similarity(20, 1.5, (70, 30)))
        colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]])
        image = np.zeros((250, 300, 3), np.uint8)
        for (x, y), colour in zip(landmarks, colours.tolist(), strict=True):
            cv2.circle(image, (round(x), round(y)), 6, colour, -1)
        face = align_face(image, landmarks)
        assert face.shape == (112, 112, 3)
        assert face.dtype == np.uint8
        for (x, y), colour in zip(TEMPLATE, colours, strict=True):
            assert face[round(y), round(x)].tolist() == colour.tolist()

    def test_the_template_itself_changes_nothing(self):
        image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
        assert np.abs(align_face(image, TEMPLATE).astype(int) - image).max() <= 1

    def test_another_size(self):
        image = np.zeros((112, 112), np.uint8)
        cv2.circle(image, (56, 72), 5, 255, -1)
        face = align_face(image, TEMPLATE, size=224)
        assert face.shape == (224, 224)
        assert face[144, 112] == 255

    def test_beyond_the_image_is_black(self):
        face = align_face(np.full((60, 60, 3), 200, np.uint8), TEMPLATE)
        assert face[30, 30].tolist() == [200] * 3
        assert face[100, 100].tolist() == [0] * 3
