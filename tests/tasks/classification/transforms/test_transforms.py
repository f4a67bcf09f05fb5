from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from PIL import Image

import tasks.classification  # noqa: F401
from tasks.data_checks import DatasetError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def load(path):
    return Compose([dict(type="LoadImageTensor")])({"img_path": str(path)})["img"]


class TestLoading:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
    def test_lossless_formats_are_exact(self, kind, tmp_path):
        path = tmp_path / f"1.{kind.lower()}"
        path.write_bytes(encode(Image.fromarray(PIXELS), kind))
        image = load(path)
        assert image.dtype == torch.uint8
        assert np.array_equal(image.permute(1, 2, 0).numpy(), PIXELS)

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_jpeg_of_every_colour_space_is_rgb(self, mode, tmp_path):
        smooth = Image.fromarray(PIXELS).resize((40, 24), Image.Resampling.BICUBIC)
        path = tmp_path / "1.JPEG"
        path.write_bytes(encode(smooth.convert(mode), "JPEG", quality=98))
        expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
        found = load(path).permute(1, 2, 0).numpy().astype(int)
        assert found.shape == (24, 40, 3)
        assert np.abs(found - expected).max() <= 2

    @pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "I;16"])
    def test_png_of_every_mode_has_three_channels(self, mode, tmp_path):
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16)) if mode == "I;16" else (
            Image.fromarray(PIXELS).convert(mode))  # fmt: skip
        (tmp_path / "1.png").write_bytes(encode(image, "PNG"))
        assert load(tmp_path / "1.png").shape == (3, 12, 20)

    def test_orientation_is_ignored(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        (tmp_path / "1.jpg").write_bytes(encode(Image.fromarray(PIXELS), "JPEG", exif=exif))
        assert load(tmp_path / "1.jpg").shape == (3, 12, 20)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty; fetch it again"),
            (b"version https://git-lfs.github.com/spec/v1", "is not an image, or a badly damaged"),
            (encode(Image.fromarray(PIXELS), "JPEG")[:-40], "is cut off"),
            (encode(Image.fromarray(PIXELS), "PNG")[:-40], "is cut off"),
        ],
    )
    def test_damaged(self, content, message, tmp_path):
        (tmp_path / "1.jpg").write_bytes(content)
        with pytest.raises(DatasetError, match=rf"1\.jpg {message}"):
            load(tmp_path / "1.jpg")

    def test_missing(self, tmp_path):
        with pytest.raises(DatasetError, match=r"absent\.jpg cannot be read"):
            load(tmp_path / "absent.jpg")


def test_torchvision_transforms_act_on_the_image():
    image = torch.arange(3 * 8 * 10, dtype=torch.uint8).view(3, 8, 10)
    crop = Compose([dict(type="torchvision/CenterCrop", size=4)])
    assert torch.equal(crop({"img": image})["img"], image[:, 2:6, 3:7])
    flip = Compose([dict(type="torchvision/RandomHorizontalFlip", p=1.0)])
    assert torch.equal(flip({"img": image})["img"], image.flip(2))
    assert "RandomHorizontalFlip" in repr(flip)


def test_the_test_pipeline_is_that_of_the_published_figures(tmp_path):
    """Short side 256 and the central 224 x 224, as Pillow would resize."""
    smooth = Image.fromarray(PIXELS).resize((500, 375), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "1.png")
    pipeline = Compose(
        [
            dict(type="LoadImageTensor"),
            dict(type="torchvision/Resize", size=256, antialias=True),
            dict(type="torchvision/CenterCrop", size=224),
            dict(type="PackImageClass"),
        ]
    )
    sample = pipeline({"img_path": str(tmp_path / "1.png"), "label": 3})
    assert sample["data_samples"].item() == 3
    resized = smooth.resize((341, 256), Image.Resampling.BILINEAR)
    left, top = round((341 - 224) / 2), round((256 - 224) / 2)
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224))).astype(int)
    found = sample["inputs"].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - expected).max() <= 1


class TestPCALighting:
    def test_the_shifts_have_the_covariance_of_colours(self):
        lighting = Compose([dict(type="PCALighting", std=0.1)])
        grey = torch.full((3, 2, 2), 128, dtype=torch.uint8)
        shifts = torch.stack(
            [(lighting({"img": grey})["img"].double() - 128)[:, 0, 0] for _ in range(4000)]
        )
        values = torch.tensor([0.2175, 0.0188, 0.0045], dtype=torch.float64)
        vectors = torch.tensor(
            [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
            dtype=torch.float64,
        )
        expected = vectors @ torch.diag((25.5 * values) ** 2) @ vectors.T
        found = shifts.T.cov()
        assert (found - expected).abs().max() < 1.2
        assert shifts.mean(0).abs().max() < 0.4

    def test_every_pixel_moves_alike_and_stays_in_range(self):
        lighting = Compose([dict(type="PCALighting", std=20.0)])
        image = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat(3, 1).view(3, 1, 3)
        for _ in range(20):
            out = lighting({"img": image})["img"]
            assert out.dtype == torch.uint8
            assert (out.int().diff(dim=2) >= 0).all()


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = (PIXELS.astype(np.uint16) << 8) + 77
    assert cv2.imwrite(str(tmp_path / "1.png"), values[..., ::-1])
    image = load(tmp_path / "1.png")
    assert image.dtype == torch.uint8
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - PIXELS).max() <= 1


def test_the_first_picture_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "1.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "1.gif").rename(tmp_path / "1.jpg")
    image = load(tmp_path / "1.jpg")
    assert image.shape == (3, 5, 6)
    assert image[:, 0, 0].tolist() == [255, 0, 0]
