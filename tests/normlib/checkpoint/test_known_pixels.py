"""Which pixels known weights expect."""

from __future__ import annotations

import pytest

from normlib.checkpoint.known_pixels import pixels_of
from normlib.checkpoint.pixel_format import BGR_MEAN, DETECTRON_BGR, FACE_RGB, RGB_STD
from normlib.checkpoint.released_files import FILES


@pytest.mark.parametrize(
    ("source", "pixels"),
    [
        ("checkpoints/resnet50_sn_8x2.pth", RGB_STD),
        ("/data/checkpoints/resnet50_ssn_8x32.pth", RGB_STD),
        ("checkpoints/mask_rcnn_r50_fpn_sn_8x1.pth", RGB_STD),
        ("checkpoints/resnet50_sn_8x2_segmentation.pth", RGB_STD),
        ("checkpoints/resnet50d8_c1_deepsup_sn8x2_encoder.pth", BGR_MEAN),
        ("checkpoints/resnet50d8_c1_deepsup_syncbn_decoder.pth", BGR_MEAN),
        ("checkpoints/face_resnet50_sn_8x64.pth", FACE_RGB),
        ("torchvision://resnet50", RGB_STD),
        ("open-mmlab://resnet50_v1c", RGB_STD),
        ("open-mmlab://resnet101_v1c", RGB_STD),
        ("open-mmlab://detectron/resnet50_gn", DETECTRON_BGR),
        ("open-mmlab://detectron2/resnet101_caffe", DETECTRON_BGR),
        ("open-mmlab://detectron2/resnext101_32x8d", None),
        ("open-mmlab://msra/hrnetv2_w18", None),
        ("work_dirs/run/epoch_1.pth", None),
        ("resnet50_sn_8x2.pth", None),
    ],
)
def test_follow_the_name(source, pixels):
    assert pixels_of(source) == pixels


def test_every_released_file_has_its_task_s():
    wanted = {"classification": {RGB_STD}, "detection": {RGB_STD}, "face": {FACE_RGB}}
    for file in FILES.values():
        assert file.pixels in wanted.get(file.task, {RGB_STD, BGR_MEAN}), file.name
