"""The checkpoints that the authors of SN and SSN published.

They are theirs, under CC BY-NC 4.0, and no part of this project. Published beside them are the
boxes and masks that some of the detectors predicted, which are no checkpoints; and a face model,
ResNet-50 with SyncSN (16,32), MegaFace 97.94, which is not on Google Drive.
"""

from __future__ import annotations

from dataclasses import dataclass

from normlib.checkpoint.pixel_format import BGR_MEAN, FACE_RGB, RGB_STD, PixelFormat

LICENCE = "CC BY-NC 4.0"
_CLASSIFICATION = "github.com/switchablenorms/Switchable-Normalization"
_SPARSE = "github.com/switchablenorms/Sparse_SwitchNorm"
_DETECTION = "github.com/switchablenorms/SwitchNorm_Detection"
_SEGMENTATION = "github.com/switchablenorms/SwitchNorm_Segmentation"


@dataclass(frozen=True)
class ReleasedFile:
    """One published checkpoint.

    Attributes:
        name: Our name for it.
        task: ``'classification'``, ``'detection'``, ``'segmentation'`` or ``'face'``.
        entry: What the authors call it; (8,2) is 8 GPUs with 2 images each.
        figures: What they published for it, empty where nothing.
        drive_id: Its id on Google Drive.
        source: The repository whose README links it.
        pixels: What its network takes.
        md5: Its published MD5 sum, where there is one.
        used: Where this project takes it, and what to know about it.
    """

    name: str
    task: str
    entry: str
    figures: str
    drive_id: str
    source: str
    pixels: PixelFormat = RGB_STD
    md5: str | None = None
    used: str = ""

    @property
    def path(self) -> str:
        """Where the configs look for it."""
        return f"checkpoints/{self.name}.pth"

    @property
    def page(self) -> str:
        """Its page for a browser."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view"


def _classifier(name: str, entry: str, figures: str, drive_id: str, used: str = "") -> ReleasedFile:
    return ReleasedFile(
        name, "classification", entry, figures, drive_id, _CLASSIFICATION, used=used
    )


def _sparse(images: int, figures: str, drive_id: str, md5: str) -> ReleasedFile:
    name, entry = f"resnet50_ssn_8x{images}", f"ResNet-50 v1, SSN (8,{images})"
    return ReleasedFile(name, "classification", entry, figures, drive_id, _SPARSE, md5=md5)


def _detection(name: str, entry: str, figures: str, drive_id: str, used: str = "") -> ReleasedFile:
    return ReleasedFile(name, "detection", entry, figures, drive_id, _DETECTION, used=used)


def _segmentation(norm: str, part: str, figures: str, drive_id: str) -> ReleasedFile:
    name = f"resnet50d8_c1_deepsup_{norm.lower().replace(' ', '')}_{part}"
    entry = f"ResNet-50 dilated 8, C1 with deep supervision, {norm}: {part}"
    return ReleasedFile(name, "segmentation", entry, figures, drive_id, _SEGMENTATION, BGR_MEAN)


def _face(name: str, entry: str, figures: str, drive_id: str, used: str = "") -> ReleasedFile:
    return ReleasedFile(
        name, "face", entry, figures, drive_id, _CLASSIFICATION, FACE_RGB, used=used
    )


_IN_LN = "SN of IN and LN: norm_cfg.normalizers=('in', 'ln')"
_SN_ADE, _GN_ADE, _BN_ADE = (
    f"ADE20K mIoU {miou}, pixel accuracy {accuracy}, score {score}"
    for miou, accuracy, score in (
        ("38.72", "78.90", "58.82"),
        ("35.66", "77.24", "56.45"),
        ("36.43", "77.30", "56.87"),
    )
)

FILES: dict[str, ReleasedFile] = {
    file.name: file
    for file in (
        _classifier(
            "resnet50_sn_8x32",
            "ResNet-50 v1, SN (8,32), 100 epochs, steps",
            "top-1 76.92, top-5 93.26",
            "1lOTzjgX6B9J9gkm8JdxaWGBKC1T9VLsl",
            "start of the detection configs 'sn_c4_8xb2'",
        ),
        _classifier(
            "resnet50_sn_8x32_cosine",
            "ResNet-50 v1, SN (8,32), 120 epochs, cosine",
            "top-1 77.49, top-5 93.32",
            "17mHmoVom2zM7nrbFeE4yzKa7KtqykTyD",
        ),
        _classifier(
            "resnet50_sn_8x4",
            "ResNet-50 v1, SN (8,4)",
            "top-1 75.85, top-5 92.7",
            "1x_ZR0ZFtvRzZHkFZVXeVoLeXoJKX-LrZ",
        ),
        _classifier(
            "resnet50_sn_8x1_classifier",
            "ResNet-50 v1, SN (8,1)",
            "top-1 75.94, top-5 92.7",
            "1-y8dDn19Hx02efy4Z5ZRihggYHTYvqkc",
            _IN_LN,
        ),
        _classifier(
            "resnet101_sn_8x32_cosine",
            "ResNet-101 v1, SN (8,32), 120 epochs, cosine",
            "top-1 78.54, top-5 94.10",
            "1xza5ju6lRRelPym3Sj99VY_8c4jXhxkn",
        ),
        _classifier(
            "resnet50v2_sn_8x32_cosine",
            "ResNet-50 v2, SN (8,32), 120 epochs, cosine",
            "top-1 77.57, top-5 93.65",
            "1CjLURwDkynhiXoKjYxUyEIOnWDPVmPnL",
        ),
        _classifier(
            "resnet101v2_sn_8x32_cosine",
            "ResNet-101 v2, SN (8,32), 120 epochs, cosine",
            "top-1 78.81, top-5 94.16",
            "1z-F1nc7T-cdEM-HtYDALW0pJGPX0-RkS",
        ),
        _sparse(
            32,
            "top-1 77.25, top-5 93.29",
            "1b7tezVjfSl1MZNHRC8qkaw59lLW4EYEh",
            "5c9fb111577b040e62461db51ffce69b",
        ),
        _sparse(
            16,
            "top-1 76.98, top-5 93.29",
            "1wJx_6bNrv7N9zdy1m2vkABTwMuowluxV",
            "d7085632529a9b1945a28a4d3bf4cacb",
        ),
        _sparse(
            8,
            "top-1 76.75, top-5 93.33",
            "18HXLmZVB5JF_TcneEMHXtCo1RQt17fYC",
            "af85a39920644421fc48e216aba6ff0e",
        ),
        _sparse(
            4,
            "top-1 76.07, top-5 96.71 (as printed)",
            "1Ry4kjLURixg2_pzj6J1lwGg1USnSC0oz",
            "949d4bd54a7c63a3371b941eb4d3ea69",
        ),
        _sparse(
            2,
            "top-1 75.85, top-5 92.73",
            "1r485fLeSAwS5zKrxcAtGxa_mPr1lWcoS",
            "dadb0f1a0c49c31aedd6cb83d4996a03",
        ),
        _detection(
            "resnet50_sn_8x2",
            "ResNet-50 v1, SN (8,2), w/ fpn",
            "",
            "1b0ia4AnSGL__8pAKG-n4w3CSeYCjlNwe",
            "start of the detection configs with SN, SyncSN and SSN",
        ),
        _detection(
            "resnet50_sn_8x1",
            "ResNet-50 v1, SN (8,1), w/ fpn",
            "",
            "16-6MGOHFkwyRImGv3EI71nsOSF9lMRH9",
            f"start of the detection configs 'sninln'; {_IN_LN}",
        ),
        _detection(
            "resnet50_sn_8x2_nofpn",
            "ResNet-50 v1, SN (8,2), w/o fpn",
            "",
            "1U_nftWTUqcjfprSY8w9FRYTjwWnD5nLN",
            "the weights of resnet50_sn_8x2 under other names",
        ),
        _detection(
            "resnet50_sn_8x1_nofpn",
            "ResNet-50 v1, SN (8,1), w/o fpn",
            "",
            "1gDy06UAPKxENPyqobqY164uIcKu9P8Xv",
            "the weights of resnet50_sn_8x1 under other names",
        ),
        _detection(
            "faster_rcnn_r50_c4_sn_8x32",
            "Faster R-CNN R-50-C4, SN (8,32), 2x",
            "box AP 38.07",
            "1Eu9XCNWZBpy31wZcyYS49Wtr6y83BwVz",
        ),
        _detection(
            "faster_rcnn_r50_fpn_sn_8x2",
            "Faster R-CNN R-50-FPN, SN (8,2), 2x",
            "box AP 39.10",
            "1ZfqIhrugfQI0gb7i10AGVp6_uTEnqOkY",
        ),
        _detection(
            "faster_rcnn_r50_fpn_sn_8x1",
            "Faster R-CNN R-50-FPN, SN (8,1), 2x",
            "box AP 38.99",
            "1N6WiPK52JJmx5Cwv1wgXu0a9NZGtnPFx",
            _IN_LN,
        ),
        _detection(
            "mask_rcnn_r50_fpn_sn_8x1",
            "Mask R-CNN R-50-FPN, SN (8,1), 2x",
            "box AP 41.01, mask AP 36.12",
            "12SCgBn3GZOfaNfKcbqWdWUr8A21xqFc7",
            _IN_LN,
        ),
        ReleasedFile(
            "resnet50_sn_8x2_segmentation",
            "segmentation",
            "ResNet-50 v1, SN (8,2)",
            "top-1 75.13 (in its file name)",
            "1tHJiCZ3CBXJGiIc9b634S4Rd9KLOfr1P",
            _SEGMENTATION,
            used="start of segmentation models",
        ),
        _segmentation("SN 8x2", "encoder", _SN_ADE, "1Dn15_QTjdzX1pK3nvXHnHy94V7ffcKjL"),
        _segmentation("SN 8x2", "decoder", _SN_ADE, "1wS0lV9hWIBwWQ-Bhvdc1IRFyw3O_Fegx"),
        _segmentation("GN", "encoder", _GN_ADE, "1YoXrwvfYzsHQ4P3IyVF2iThWzQtaTbGR"),
        _segmentation("GN", "decoder", _GN_ADE, "1HbuyhIiS3fPvBnHYG5xFRwj5Gpv5ULzT"),
        _segmentation("sync BN", "encoder", _BN_ADE, "1T0IAGpM1qIuT_74VGfuHyQ4QzYU3j55C"),
        _segmentation("sync BN", "decoder", _BN_ADE, "1fvrmSDQb58WHbUu-Ev15kidcaf7VwaFr"),
        _face(
            "face_resnet100_syncsn_16x32",
            "ResNet-100, SyncSN (16,32)",
            "MegaFace 98.51",
            "1mEREjkSjQDAcOUGgcz-LebQN9OGYweyX",
        ),
        _face(
            "face_resnet100_sn_10x52",
            "ResNet-100, SN (10,52)",
            "MegaFace 98.10",
            "1iulvp76q6Llun4nLxAWhO_GkxmbnuH0S",
        ),
        _face(
            "face_resnet100_bn_8x64",
            "ResNet-100, BN (8,64)",
            "MegaFace 98.29",
            "1zP_rZKWJRI155BFkn7j_pthlCoFMhBKU",
        ),
        _face(
            "face_resnet50_syncsn_argmax_8x64",
            "ResNet-50, SyncSN + argmax (8,64)",
            "MegaFace 98.26",
            "1JRRICZDHGRDx0JJzqY_zV0mzGFIGXfJY",
            "each layer takes its largest ratio alone: convert it with --harden",
        ),
        _face(
            "face_resnet50_sn_8x64",
            "ResNet-50, SN (8,64)",
            "MegaFace 97.84",
            "1fjxItr3ssLs2gNRQLwsWpgec2JQ_JFEM",
        ),
        _face(
            "face_resnet50_bn_8x64",
            "ResNet-50, BN (8,64)",
            "MegaFace 97.59",
            "1KjBSieShhBmW_UAnZYPIADtrI8OfvCg6",
        ),
    )
}


def by_path(path: str) -> ReleasedFile | None:
    """The published file that belongs at a path, if the path is one of theirs."""
    return next((file for file in FILES.values() if path.endswith(file.path)), None)
