"""One frame as it travels over a WebSocket: 16 bytes, then a JPEG.

    float64 seconds, uint32, uint32; little-endian

What comes in says when it was taken on its sender's own clock, its number, and flags that are 0.
What goes out says how old it is, its number, and the place of its camera among the sources.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("<dII")
_MOST_NUMBER = 1 << 32


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """One that came in.

    Args:
        taken_s: on its sender's monotonic clock.
    """

    taken_s: float
    number: int
    picture: bytes = field(repr=False)

    @classmethod
    def read(cls, message: bytes) -> FrameMessage:
        """Raises ValueError, in words for its sender."""
        if len(message) <= HEADER.size:
            raise ValueError(
                f"a message of {len(message)} bytes: send {HEADER.size} bytes of header, then a "
                "JPEG"
            )
        taken_s, number, flags = HEADER.unpack_from(message)
        if not (math.isfinite(taken_s) and taken_s >= 0):
            raise ValueError(f"taken at {taken_s} s: send finite seconds of a clock, 0 or more")
        if flags:
            raise ValueError(f"flags={flags}: must be 0")
        return cls(taken_s, number, message[HEADER.size :])


def number_in(message: bytes) -> int:
    """Of a message that may be malformed, for the answer to it."""
    return int(HEADER.unpack_from(message)[1]) if len(message) >= HEADER.size else 0


def preview(age_s: float, number: int, place: int, jpeg: bytes) -> bytes:
    """One that goes out."""
    return HEADER.pack(age_s, number % _MOST_NUMBER, place) + jpeg
