"""Protocols by which face embeddings are judged, and the files that these read and write."""

from .alignment import align_face
from .embedding_folder import EmbeddingFolder
from .ijb.images import FaceLandmarkDataset

__all__ = ["EmbeddingFolder", "FaceLandmarkDataset", "align_face"]
