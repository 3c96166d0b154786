"""A decoded frame as the picture that people see: upright, in its right shape, RGB.

Interlaced frames stay as they are, both half pictures woven together; a moving edge shows combs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

ASPECT_LIMIT = 8  # a pixel this many times as wide as high, or as high as wide, is nonsense


def to_rgb(
    frame: VideoFrame, max_side: int, pixel_aspect: Fraction | None = None
) -> NDArray[np.uint8]:
    """A decoded frame as ``[H, W, 3]`` uint8 RGB, no side over `max_side`.

    Scales in the same pass that converts the colours: down to `max_side`, and in width where
    pixels are not square.  What is transparent lies on white, as in a browser.  Turned and
    mirrored as the file says, to the nearest quarter turn.

    Args:
        pixel_aspect: width of a pixel by its height; None where nothing is known.

    Raises:
        av.FFmpegError, ValueError: if FFmpeg cannot convert this pixel format.
    """
    width, height = _shown_size(frame.width, frame.height, max_side, pixel_aspect)
    has_alpha = _has_alpha(frame)
    # One of its own: the frame's would live as long as the frame does, with threads, and a frame
    # whose side data was looked at refers to itself.
    kind = "rgba" if has_alpha else "rgb24"
    shown = VideoReformatter().reformat(frame, width, height, kind)
    picture = np.asarray(shown.to_ndarray(), np.uint8)
    return np.ascontiguousarray(_upright(_on_white(picture) if has_alpha else picture, frame))


def _shown_size(
    width: int, height: int, max_side: int, pixel_aspect: Fraction | None
) -> tuple[int, int]:
    wide = float(width)
    if pixel_aspect and Fraction(1, ASPECT_LIMIT) <= pixel_aspect <= ASPECT_LIMIT:
        wide *= float(pixel_aspect)
    scale = min(1.0, max_side / max(wide, height))
    return max(1, round(wide * scale)), max(1, round(height * scale))


def _has_alpha(frame: VideoFrame) -> bool:
    return frame.format.has_palette or any(c.is_alpha for c in frame.format.components)


def _on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = image[..., 3:].astype(np.uint16)
    mixed = image[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _upright(image: NDArray[np.uint8], frame: VideoFrame) -> NDArray[np.uint8]:
    quarter_turns = round(frame.rotation / 90) % 4  # both count against the clock
    if _is_mirrored(frame):
        # FFmpeg's angle is that of a mirror from left to right and then a turn, less half a turn.
        image, quarter_turns = image[:, ::-1], (quarter_turns + 2) % 4
    return np.rot90(image, quarter_turns)


def _is_mirrored(frame: VideoFrame) -> bool:
    """Whether the display matrix turns the picture over.

    PyAV cannot look into a picture that brings Exif, and gives its angle alone.
    """
    try:
        matrix = cast("Mapping[str, Buffer]", frame.side_data).get("DISPLAYMATRIX")
    except ValueError:
        return False
    if matrix is None:
        return False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    return bool(a * d - b * c < 0)
