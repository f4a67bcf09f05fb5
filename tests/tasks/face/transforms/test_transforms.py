from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS, TRANSFORMS

import tasks.face.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.face.transforms.decoding import UndecodableFaceError


def decode(content):
    step = TRANSFORMS.build(dict(type="DecodeFace"))
    return step({"content": np.frombuffer(content, np.uint8), "where": "a.rec: record 3"})["img"]


def pack(image, **numbers):
    return TRANSFORMS.build(dict(type="PackFace"))({"img": image} | numbers)


class TestDecodeFace:
    @pytest.mark.parametrize(("suffix", "tolerance"), [(".jpg", 20), (".png", 0), (".bmp", 0)])
    def test_red_green_blue(self, face, suffix, tolerance):
        image = decode(face(90, suffix=suffix))
        assert image.shape == (112, 112, 3)
        assert np.abs(image[:, :40].astype(int) - (255, 0, 0)).max() <= tolerance
        assert np.abs(image[:, -40:].astype(int) - 90).max() <= tolerance

    def test_grey(self):
        content = cv2.imencode(".png", np.full((112, 112), 70, np.uint8))[1].tobytes()
        assert (decode(content) == 70).all()
        assert decode(content).shape == (112, 112, 3)

    def test_without_decoding_to_rgb(self, face, monkeypatch):
        expected = decode(face(90))
        monkeypatch.setattr("tasks.face.transforms.decoding._RGB", None)
        assert (decode(face(90)) == expected).all()

    @pytest.mark.parametrize("suffix", [".jpg", ".png"])
    def test_cut_off(self, face, suffix):
        content = face(suffix=suffix)
        assert decode(content + b"trailing bytes").shape == (112, 112, 3)
        for length in (len(content) - 1, len(content) - 40, len(content) // 2, 5):
            with pytest.raises(UndecodableFaceError, match=r"a\.rec: record 3 is "):
                decode(content[:length])

    @pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xd9"])
    def test_no_image(self, content):
        with pytest.raises(UndecodableFaceError, match=r"a\.rec: record 3 is (empty|not an image)"):
            decode(content)

    def test_another_size(self, face):
        with pytest.raises(DatasetError, match=r"is 96 x 96, .*112 x 112; align") as error:
            decode(face(size=96))
        assert not isinstance(error.value, UndecodableFaceError)


class TestRandomFlipFace:
    def test_about_half_are_mirrored(self):
        image = np.arange(112 * 112 * 3, dtype=np.uint8).reshape(112, 112, 3)
        step = TRANSFORMS.build(dict(type="RandomFlipFace"))
        random.seed(0)
        found = [step({"img": image.copy()})["img"] for _ in range(200)]
        mirrored = [(result == image[:, ::-1]).all() for result in found]
        assert all(flip or (result == image).all()
                   for flip, result in zip(mirrored, found, strict=True))  # fmt: skip
        assert 70 < sum(mirrored) < 130

    def test_never_and_always(self):
        image = np.random.default_rng(0).integers(256, size=(112, 112, 3), dtype=np.uint8)
        never, always = (TRANSFORMS.build(dict(type="RandomFlipFace", prob=p)) for p in (0, 1))
        for _ in range(20):
            assert (never({"img": image})["img"] == image).all()
            assert (always({"img": image})["img"] == image[:, ::-1]).all()

    def test_mistakes(self):
        with pytest.raises(ValueError, match=r"prob=1\.5"):
            TRANSFORMS.build(dict(type="RandomFlipFace", prob=1.5))


class TestCollate:
    def test_a_batch(self):
        images = [np.full((112, 112, 3), n, np.uint8) for n in range(3)]
        images[1][0, 5, 2] = 77
        samples = [pack(image, label=np.int64(5 + n)) for n, image in enumerate(images)]
        batch = FUNCTIONS.get("face_collate")(samples)
        assert batch["inputs"].shape == (3, 3, 112, 112)
        assert batch["inputs"].dtype == torch.uint8
        assert batch["inputs"].is_contiguous(memory_format=torch.channels_last)
        assert batch["inputs"][1, 2, 0, 5] == 77
        assert batch["data_samples"].tolist() == [5, 6, 7]
        assert batch["data_samples"].dtype == torch.int64

    def test_the_class_or_the_index(self):
        image = np.zeros((112, 112, 3), np.uint8)
        assert pack(image, label=3)["data_samples"] == 3
        assert pack(image, index=0)["data_samples"] == 0

    def test_samples_that_are_not_packed(self):
        with pytest.raises(DatasetError, match="what PackFace packs"):
            FUNCTIONS.get("face_collate")([{"img": 1}])
