"""Measures of face embeddings, and their way into a folder."""

from .embedding_writer import EmbeddingWriter
from .face_verification import FaceVerification

__all__ = ["EmbeddingWriter", "FaceVerification"]
