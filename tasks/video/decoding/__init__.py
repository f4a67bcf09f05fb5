"""Reading frames of videos by their place: files through PyAV, and folders of images."""

from .errors import VideoError
from .frame_folder import FrameFolder
from .opening import open_video
from .reader import VideoReader
from .video_file import VideoFile

__all__ = ["FrameFolder", "VideoError", "VideoFile", "VideoReader", "open_video"]
