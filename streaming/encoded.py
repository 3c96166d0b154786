"""One picture as bytes, JPEG or PNG: its size by its header, and its pixels.

The header is read here and no decoder is asked, so that what would be too large is never begun.
Where the bytes come from is not known here.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 50_000_000
MOST_SCANS = 64  # of a progressive JPEG; each costs a pass over all pixels, cameras send about 10
_MOST_MARKERS = 256  # before the one that tells the size
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _JPEG_END, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xd9", b"\xff\xda"
_NO_SIZES = {0xC4, 0xC8, 0xCC}  # that lie among the markers of a frame, 0xC0 to 0xCF
_BROKEN = "the picture's bytes are broken: send it whole, as JPEG or PNG"


def size_of(data: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Width and height that a picture's header states; nothing is decoded.

    Raises:
        ValueError: if it is neither JPEG nor PNG, is cut short, or is larger than `MOST_PIXELS`.
    """
    data = bytes(data)
    if data.startswith(_PNG):
        width, height = _png_size(data)
    elif data.startswith(_JPEG):
        width, height = _jpeg_size(data)
    else:
        raise ValueError(
            f"the picture's {len(data)} bytes begin as neither JPEG nor PNG does: send one of these"
        )
    if not (width and height):
        raise ValueError(_BROKEN)
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"the picture is {width}x{height}: must be at most {MOST_PIXELS / 1e6:g} megapixels; "
            "send it smaller"
        )
    return width, height


def decode(data: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    """The pixels, uint8 RGB ``[H, W, 3]``, upright as its EXIF says.

    Raises:
        ValueError: as `size_of` does, or if the bytes cannot be decoded.
    """
    import cv2

    size_of(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(_BROKEN)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image), np.uint8)


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 24 or data.rfind(b"IEND") < 24:
        raise ValueError(_BROKEN)
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Of the one frame header; what follows must reach the end of the picture."""
    at = 2
    for _ in range(_MOST_MARKERS):
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":  # fill bytes
            at += 1
        if len(data) < at + 9 or data[at] != 0xFF:
            break
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZES:
            _check_scans(data, at)
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        if length < 2 or marker == 0xDA:
            break
        at += 2 + length
    raise ValueError(_BROKEN)


def _check_scans(data: bytes, at: int) -> None:
    """Within the pixels' own bytes 0xff is followed by 0, so that these are markers."""
    first = data.find(_JPEG_SCAN, at)
    if first < 0 or data.rfind(_JPEG_END) < first:
        raise ValueError(_BROKEN)
    scans = data.count(_JPEG_SCAN, at)
    if scans > MOST_SCANS:
        raise ValueError(
            f"the picture comes in {scans} scans: must be at most {MOST_SCANS}; send it as a "
            "JPEG that is not progressive"
        )
