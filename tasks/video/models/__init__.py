"""I3D networks and the classifier around them."""

from .clip_preprocessor import ClipDataPreprocessor
from .i3d_resnet import I3DResNet
from .time_conv import TimeConv3d
from .video_recognizer import VideoRecognizer

__all__ = ["ClipDataPreprocessor", "I3DResNet", "TimeConv3d", "VideoRecognizer"]
