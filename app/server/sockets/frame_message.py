"""One frame as it travels over a WebSocket: 16 bytes, then a JPEG.

    float64 seconds, uint32, uint32; little-endian

What comes in says when it was taken on its sender's own clock, its number, and how many
milliseconds old it was when it was sent; 0 where that is not known.  What goes out says how old it
is, its number, and the place of its camera among the sources.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("<dII")
_MOST_NUMBER = 1 << 32
MOST_AGE_S = 3600.0


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """One that came in.

    Args:
        taken_s: on its sender's monotonic clock.
        age_s: when it was sent; 0.0: not known, or none.
    """

    taken_s: float
    number: int
    age_s: float
    picture: bytes = field(repr=False)

    @classmethod
    def read(cls, message: bytes) -> FrameMessage:
        """Raises ValueError, in words for its sender."""
        if len(message) <= HEADER.size:
            raise ValueError(
                f"a message of {len(message)} bytes: send {HEADER.size} bytes of header, then a "
                "JPEG"
            )
        taken_s, number, age_ms = HEADER.unpack_from(message)
        if not (math.isfinite(taken_s) and taken_s >= 0):
            raise ValueError(f"taken at {taken_s} s: send finite seconds of a clock, 0 or more")
        if age_ms > MOST_AGE_S * 1000:
            raise ValueError(
                f"{age_ms} ms old: must be at most {MOST_AGE_S:g} s, as an uint32; send 0 where "
                "it is not known"
            )
        return cls(taken_s, number, age_ms / 1000, message[HEADER.size :])

    @property
    def sent_s(self) -> float:
        """On its sender's monotonic clock; as if it were sent at once where its age is not known:
        then what all frames are late by cannot be told from their way here."""
        return self.taken_s + self.age_s


def number_in(message: bytes) -> int:
    """Of a message that may be malformed, for the answer to it."""
    return int(HEADER.unpack_from(message)[1]) if len(message) >= HEADER.size else 0


def preview(age_s: float, number: int, place: int, jpeg: bytes) -> bytes:
    """One that goes out."""
    return HEADER.pack(age_s, number % _MOST_NUMBER, place) + jpeg
