"""A decoded frame as the small gray picture that stillness and change of scene are judged by."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from longtake.streaming.pictures import to_rgb

HEIGHT, WIDTH = 90, 160


class SmallGray:
    """Makes them with a scaler of its own: that of a frame may be at work in another thread."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """``[90, 160]`` uint8, upright: a mask meets the same pixels as in the picture.

        Raises:
            av.FFmpegError, ValueError: if FFmpeg cannot convert it.
        """
        if round(frame.rotation):
            upright = to_rgb(self._scaler.reformat(frame, format="rgb24"), 2 * WIDTH)
            gray = cv2.cvtColor(upright, cv2.COLOR_RGB2GRAY)
            return np.asarray(cv2.resize(gray, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
        small = self._scaler.reformat(frame, width=WIDTH, height=HEIGHT, format="gray")
        return np.asarray(small.to_ndarray(), np.uint8)
