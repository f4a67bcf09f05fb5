"""Transforms of videos on their way to a network."""

from .color_jitter import ClipColorJitter
from .cropping import ClipCenterCrop, ClipRandomCrop, ClipThreeCrop
from .decoding import DecodeFrames
from .dense_sampling import DenseSampleFrames
from .flipping import ClipFlip
from .multi_scale_crop import ClipMultiScaleCrop
from .opening import OpenVideo
from .packing import PackClips
from .random_resized_crop import ClipRandomResizedCrop
from .resizing import ClipRandomShortSide, ClipResize
from .sampling import SampleFrames

__all__ = [
    "ClipCenterCrop",
    "ClipColorJitter",
    "ClipFlip",
    "ClipMultiScaleCrop",
    "ClipRandomCrop",
    "ClipRandomResizedCrop",
    "ClipRandomShortSide",
    "ClipResize",
    "ClipThreeCrop",
    "DecodeFrames",
    "DenseSampleFrames",
    "OpenVideo",
    "PackClips",
    "SampleFrames",
]
