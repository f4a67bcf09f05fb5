"""Data sets of faces: in classes for training, in pairs for verification, and to embed."""

from .image_dataset import FaceImageDataset
from .list_dataset import FaceListDataset
from .record_dataset import FaceRecordDataset
from .verification_dataset import VerificationDataset

__all__ = ["FaceImageDataset", "FaceListDataset", "FaceRecordDataset", "VerificationDataset"]
