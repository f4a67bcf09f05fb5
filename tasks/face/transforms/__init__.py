"""Transforms of faces on their way to a network."""

from .decoding import DecodeFace
from .flipping import RandomFlipFace
from .packing import PackFace, face_collate

__all__ = ["DecodeFace", "PackFace", "RandomFlipFace", "face_collate"]
