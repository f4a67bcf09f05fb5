"""Transforms of images on their way to a classifier."""

from . import torchvision_transforms
from .lighting import PCALighting
from .loading import LoadImageTensor
from .packing import PackImageClass

__all__ = ["LoadImageTensor", "PCALighting", "PackImageClass", "torchvision_transforms"]
