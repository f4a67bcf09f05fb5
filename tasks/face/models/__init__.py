"""Face models."""

from .embedding_neck import EmbeddingNeck
from .face_recognizer import FaceRecognizer
from .ir_resnet import IRResNet
from .partial_fc import PartialFC

__all__ = ["EmbeddingNeck", "FaceRecognizer", "IRResNet", "PartialFC"]
