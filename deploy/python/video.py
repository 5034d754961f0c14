"""Video files, streams and cameras: frames in."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from cv2.utils import logging as opencv_log

from paddleseg.errors import DataError, UsageError
from paddleseg.log import get_logger

__all__ = ["Frame", "Video", "is_video", "open_video", "quiet"]

Frame = npt.NDArray[np.uint8]  # H×W×3, blue green red

_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv", ".y4m"}
_USUAL_RATE = 25.0
_STREAM_TIMEOUT_MS = 10_000
# So many unreadable frames in a row are the end; fewer are damage, and what follows is read.
_MOST_DAMAGED = 10
_logger = get_logger(__name__)


def is_video(image_path: str) -> bool:
    """Tells video from images.

    Args:
        image_path: What the user gave: a file of a video format, a URL, or the number of a camera.
    """
    path = Path(image_path)
    if path.is_dir():
        return False
    is_camera = image_path.isascii() and image_path.isdigit() and not path.exists()
    return is_camera or "://" in image_path or path.suffix.lower() in _SUFFIXES


class Video:
    """An open source of frames.

    Args:
        name: What the user gave; messages show it without a password.
        capture: OpenCV's reader of it.
        is_live: Whether frames come when they come, as from a camera.
    """

    def __init__(self, name: str, capture: cv2.VideoCapture, *, is_live: bool) -> None:
        self.name = _without_secrets(name)
        self.is_live = is_live
        self._capture = capture
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= 1000 else _USUAL_RATE
        self.frame_count = 0 if is_live else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    @property
    def stem(self) -> str:
        """A name for the results."""
        if self.name.isdigit():
            return f"camera_{self.name}"
        return Path(self.name.rstrip("/")).stem or "stream"

    def frames(self) -> Iterator[Frame]:
        """Reads frame after frame, all of the first one's size. Damaged ones are left out.

        Raises:
            DataError: There is not one.
        """
        count, damaged_in_a_row = 0, 0
        size: tuple[int, int] | None = None
        while damaged_in_a_row < _MOST_DAMAGED:
            with quiet():
                is_whole, frame = self._capture.read()
            if not is_whole:
                damaged_in_a_row += 1
                continue
            count, damaged_in_a_row = count + 1, 0
            size = size or (frame.shape[1], frame.shape[0])
            yield frame if frame.shape[1::-1] == size else cv2.resize(frame, size)
        if count == 0:
            raise DataError(f"--image_path {self.name}: not one frame can be read; is the video damaged?")
        # Containers may count one frame more than they hold.
        if count < self.frame_count - 1:
            _logger.warning(
                f"{self.name}: {count} of {self.frame_count} frames could be read; the others are damaged"
            )


@contextlib.contextmanager
def open_video(image_path: str) -> Iterator[Video]:
    """Opens a video file, a stream or a camera.

    Args:
        image_path: What the user gave, of which :func:`is_video` is true.

    Raises:
        UsageError: It is not there, or cannot be read.
    """
    is_camera = image_path.isdigit()
    is_file = not is_camera and "://" not in image_path
    if is_file and not Path(image_path).is_file():
        raise UsageError(f"--image_path {image_path}: no such video file")
    with quiet():
        if is_camera:
            capture = cv2.VideoCapture(int(image_path))
        else:
            timeouts = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                _STREAM_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                _STREAM_TIMEOUT_MS,
            ]
            capture = cv2.VideoCapture(image_path, cv2.CAP_FFMPEG, timeouts)
    try:
        if not capture.isOpened():
            raise UsageError(
                f"--image_path {_without_secrets(image_path)}: {_what_to_do(is_camera, is_file)}"
            )
        yield Video(image_path, capture, is_live=not is_file)
    finally:
        capture.release()


def _without_secrets(image_path: str) -> str:
    """A URL without user, password and query, which would go into messages and names of files."""
    return re.sub(r"(://)([^/]*@)?([^?]*).*", r"\1\3", image_path)


def _what_to_do(is_camera: bool, is_file: bool) -> str:
    if is_camera:
        return "there is no such camera, or another program uses it; cameras are numbered from 0"
    if is_file:
        return "the video cannot be read (damaged, or of an unknown format); try to convert it to .mp4"
    return f"nothing that can be read came from there within {_STREAM_TIMEOUT_MS // 1000} seconds"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back OpenCV's own messages."""
    verbosity = opencv_log.setLogLevel(opencv_log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        opencv_log.setLogLevel(verbosity)
